/** Electron's power monitor, by an emitter with its documented events. */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { electronPlatform } from '../../../src/platform/electron/electron-platform.js';
import { RecordingPlatformHandler } from '../recording-handler.js';

test('a machine that sleeps is not there, and looks what is due when it wakes; stopped, it tells nothing', async () => {
  const powerMonitor = new EventEmitter();
  const platform = electronPlatform(powerMonitor);
  const handler = new RecordingPlatformHandler();
  platform.start(handler);
  powerMonitor.emit('suspend');
  powerMonitor.emit('resume');
  assert.deepEqual(handler.take(), ['no network', "network ''", 'wake']);
  await platform.stop();
  powerMonitor.emit('suspend');
  powerMonitor.emit('resume');
  assert.deepEqual(handler.take(), []);
  assert.equal(powerMonitor.listenerCount('suspend') + powerMonitor.listenerCount('resume'), 0);
});
