/** A server of several processes: `wakeline up --lines N`. */
export { askSupervisor } from './control-socket.js';
export { startLines } from './supervisor.js';
export type { RunningLines } from './supervisor.js';
