/**
 * Parts of `@wakeline/server` below its front door, each loaded alone: a command that only asks a running server
 * must not load the store and the HTTP framework.
 */
import type * as DataDirectoryModule from '../../server/src/config/data-directory.js';
import type * as ListenerUrlModule from '../../server/src/config/listener-url.js';
import type * as LoadConfigModule from '../../server/src/config/load-config.js';
import type * as PasswordModule from '../../server/src/config/password.js';
import type * as UnitsModule from '../../server/src/config/units.js';
import type * as LoggerModule from '../../server/src/telemetry/logger.js';

/** The module files stand beside the package's entry. */
function load<Module>(file: string): Promise<Module> {
  return import(new URL(file, import.meta.resolve('@wakeline/server')).href) as Promise<Module>;
}

export const loadDataDirectory = () => load<typeof DataDirectoryModule>('config/data-directory.js');
export const loadListenerUrl = () => load<typeof ListenerUrlModule>('config/listener-url.js');
export const loadConfigModule = () => load<typeof LoadConfigModule>('config/load-config.js');
export const loadLogger = () => load<typeof LoggerModule>('telemetry/logger.js');
export const loadPassword = () => load<typeof PasswordModule>('config/password.js');
export const loadUnits = () => load<typeof UnitsModule>('config/units.js');
