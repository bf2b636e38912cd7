/** What the sidecar can say of a session that it does not take up again. */
export type LostBecause = "unknown" | "application" | "buffer" | "pod" | "user" | "not resumable";

/** A message of the application; binary ones are an `ArrayBuffer`. */
export interface MessageEvent extends Event {
  readonly data: string | ArrayBuffer;
}

/** The connection is gone, and is being replaced; what is sent meanwhile is held. */
export interface AwayEvent extends Event {
  readonly code: number;
  readonly reason: string;
}

/** The socket goes on as a new one: messages of the application may be missing, and own ones. */
export interface LostEvent extends Event {
  readonly reason: LostBecause;
  /** How many own messages of the lost session arrived; undefined where that is not known. */
  readonly arrived: number | undefined;
  /** Own messages that are not known to have arrived, oldest first, as far as they were kept (those given to a plain socket are not). */
  readonly pending: ReadonlyArray<string | Uint8Array>;
}

/** The last event: nobody comes back. */
export interface CloseEvent extends Event {
  readonly code: number;
  readonly reason: string;
  readonly wasClean: boolean;
  /** As in `LostEvent`. */
  readonly pending: ReadonlyArray<string | Uint8Array>;
}

/** Something that does not end the socket, such as a token that could not be fetched or was refused. */
export interface ErrorEvent extends Event {
  readonly message: string;
}

export interface BulkheadSocketEvents {
  open: Event;
  message: MessageEvent;
  resumed: Event;
  away: AwayEvent;
  lost: LostEvent;
  error: ErrorEvent;
  close: CloseEvent;
}

/** What is needed of a class such as the browser's `WebSocket`, or `ws` on Node. */
export interface WebSocketImplementation {
  new (url: string | URL, protocols: string[]): unknown;
}

export interface BulkheadSocketOptions {
  /** Subprotocols of the application, the preferred one first. */
  protocols?: string | string[];
  /** Fetches an access token for each connection, and to renew it. Without it the browser's cookies say who calls. */
  token?: () => string | Promise<string>;
  /** The class that makes connections: `globalThis.WebSocket` where it is not said (Node has one from version 22). */
  WebSocket?: WebSocketImplementation;
  /** Bytes of own messages that may wait; `send` throws above it. 1 MiB. */
  maxBuffered?: number;
  /** Milliseconds: the wait before an attempt to come back is random, below `first` for the first, doubled for each further one up to `most`. */
  backoff?: { first: number; most: number };
}

type Handler<T extends keyof BulkheadSocketEvents> = ((this: BulkheadSocket, event: BulkheadSocketEvents[T]) => void) | null;

/** A WebSocket that outlives its connections. */
export class BulkheadSocket extends EventTarget {
  static readonly CONNECTING: 0;
  static readonly OPEN: 1;
  static readonly CLOSING: 2;
  static readonly CLOSED: 3;

  constructor(url: string | URL, options?: BulkheadSocketOptions);

  readonly url: string;
  /** `OPEN` from the first connection to the end, whether a connection stands at the moment or not. */
  readonly readyState: 0 | 1 | 2 | 3;
  /** The application's subprotocol. */
  readonly protocol: string;
  readonly binaryType: "arraybuffer";
  /** Bytes of own messages that are not known to have arrived. */
  readonly bufferedAmount: number;
  /** Whether a connection stands at the moment. */
  readonly connected: boolean;
  /** Whether what is sent and heard now survives the connection. */
  readonly resumable: boolean;

  /** Sends a message, or holds it while no connection stands. Throws when closed, and above `maxBuffered`. */
  send(data: string | ArrayBuffer | ArrayBufferView): void;
  /** Ends the socket and its session. */
  close(code?: number, reason?: string): void;
  /** Fetches a fresh token and hands it over in band. Happens by itself for JWTs, at four fifths of their life. */
  renew(): Promise<void>;

  onopen?: Handler<"open">;
  onmessage?: Handler<"message">;
  onresumed?: Handler<"resumed">;
  onaway?: Handler<"away">;
  onlost?: Handler<"lost">;
  onerror?: Handler<"error">;
  onclose?: Handler<"close">;

  addEventListener<T extends keyof BulkheadSocketEvents>(
    type: T,
    listener: (this: BulkheadSocket, event: BulkheadSocketEvents[T]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
}
