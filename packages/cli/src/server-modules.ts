/**
 * Parts of `@wakeline/server` below its front door, each loaded alone: a command that only asks a running server
 * must not load the store and the HTTP framework.
 */

type DataDirectoryModule = typeof import('../../server/src/config/data-directory.js');
type ListenerUrlModule = typeof import('../../server/src/config/listener-url.js');
type LoadConfigModule = typeof import('../../server/src/config/load-config.js');
type LoggerModule = typeof import('../../server/src/telemetry/logger.js');
type PasswordModule = typeof import('../../server/src/config/password.js');
type UnitsModule = typeof import('../../server/src/config/units.js');

/** The module files stand beside the package's entry. */
function load<Module>(file: string): Promise<Module> {
  return import(new URL(file, import.meta.resolve('@wakeline/server')).href) as Promise<Module>;
}

export const loadDataDirectory = () => load<DataDirectoryModule>('config/data-directory.js');
export const loadListenerUrl = () => load<ListenerUrlModule>('config/listener-url.js');
export const loadConfigModule = () => load<LoadConfigModule>('config/load-config.js');
export const loadLogger = () => load<LoggerModule>('telemetry/logger.js');
export const loadPassword = () => load<PasswordModule>('config/password.js');
export const loadUnits = () => load<UnitsModule>('config/units.js');
