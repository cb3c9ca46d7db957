import type { InstantMs } from './time.js';

/**
 * The one shape of everything in core that reacts: sessions, the hub, a device.
 *
 * A machine holds no socket, no timer and no promise. Its driver (the server's pump, or the lab under a virtual
 * clock) calls `handle*`, then drains `pollOutput` until it returns undefined, then asks `nextTimeoutMs`, and
 * calls `handleTimeout` at or after that instant. Calling `handleTimeout` early or twice does nothing.
 */
export interface Machine<Input, Output> {
  handleInput(now: InstantMs, input: Input): void;
  handleTimeout(now: InstantMs): void;
  pollOutput(): Output | undefined;
  /** Monotonic milliseconds of the next deadline; {@link NEVER} when there is none. */
  nextTimeoutMs(): number;
}
