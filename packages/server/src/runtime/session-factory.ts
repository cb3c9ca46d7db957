/** How the pump comes by sessions: whatever link a listener serves. */
import type { InstantMs } from '@wakeline/core/base';
import type { FlowSession } from '@wakeline/core/domain';

/** Makes the session of a new flow; `isPathProbed` as the flow's socket has it. */
export type SessionFactory = (now: InstantMs, peer: string, isPathProbed: boolean) => FlowSession;
