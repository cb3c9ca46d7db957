/**
 * How a platform opens connections. A transport carries bytes and knows nothing of what they say; it neither connects
 * again nor keeps anything alive.
 */

/** What a connection tells whoever opened it. Nothing is called before `open` has resolved. */
export interface TransportHandler {
  /** Bytes in the order they came, cut anywhere; theirs to keep. */
  handleBytes(chunk: Uint8Array): void;
  /**
   * It has ended, by the other side or by the network: the last call, made once. Not made for a connection that was told
   * to close.
   *
   * @param cause for people; undefined: the other side ended it in peace.
   */
  handleClosed(cause: unknown): void;
}

/** An open connection. */
export interface TransportConnection {
  /** Written and not yet taken by the system, bytes. */
  readonly unsentBytes: number;
  /** Its port on this side, by which a platform can mark it as the one that wakes; undefined: not known. */
  readonly localPort: number | undefined;
  /** Never throws; of a connection that has ended it does nothing. */
  write(bytes: Uint8Array): void;
  /** Resolves when the system has taken everything written so far, or the connection has ended. Never rejects. */
  flush(): Promise<void>;
  /** Sends what was written, then ends. The handler is not called any more. Resolves when it has ended. Never rejects. */
  close(): Promise<void>;
}

export interface Transport {
  /** Schemes of URLs that it opens, such as `mqtts`. */
  readonly schemes: readonly string[];
  /**
   * Opens a connection to the server of a URL, ready for MQTT: TLS and WebSocket handshakes done.
   *
   * @param signal given up: nothing stays open, and the promise rejects.
   * @throws (rejects) with whatever the platform says: it is shown, never parsed.
   */
  open(url: URL, handler: TransportHandler, signal: AbortSignal): Promise<TransportConnection>;
}
