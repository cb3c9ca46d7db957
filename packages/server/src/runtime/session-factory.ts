/** How the pump comes by sessions: whatever link a listener serves. */
import type { InstantMs } from '@wakeline/core/base';
import type { FlowSession } from '@wakeline/core/domain';
import type { FlowSocket } from './flow-socket.js';

/** What of a flow's socket its session depends on. */
export type SessionPeer = Pick<FlowSocket, 'link' | 'peer' | 'address' | 'isPathProbed'>;

/** Makes the session of a new flow. */
export type SessionFactory = (now: InstantMs, socket: SessionPeer) => FlowSession;
