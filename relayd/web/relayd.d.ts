/** The types of relayd.js. How a page uses it: docs/browser.md. */

/** A JSON value, as the upstream sent it. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** One publication. Its payload stands under exactly one of `data`, `text` and `bytes`. */
export interface Publication<Data = Json> {
  readonly topic: string;
  /** Numbers the publications of one topic. */
  readonly offset: number;
  /** This replaces what you knew of the topic. */
  readonly snapshot?: true;
  /** When it came to relayd, in milliseconds since 1970; where the route has `stamp: true`. */
  readonly at?: number;
  readonly data?: Data;
  readonly text?: string;
  /** The payload was binary. */
  readonly bytes?: Uint8Array;
}

/** What `for await` gives: a publication that says what is missing before it. */
export interface Item<Data = Json> extends Publication<Data> {
  /** Publications that are missing since the item before; null when nobody can know how many. */
  readonly missed?: number | null;
}

/** Publications that you will not get. */
export interface Lost {
  readonly op: "lost";
  readonly topic: string;
  /** You have up to here ... */
  readonly after: number;
  /** ... and this comes next. */
  readonly next: number;
  /** null when nobody can know. */
  readonly count: number | null;
  readonly why: "slow" | "rate" | "upstream" | "epoch" | (string & {});
}

/** What became of a topic when the connection came back. */
export interface Resumed {
  readonly topic: string;
  /** true: everything that was missed follows. false: a `lost` follows, then what there still is. */
  readonly recovered: boolean;
  /** `epoch:offset` of the newest publication. */
  readonly position: string;
}

export interface TopicState {
  readonly topic: string;
  readonly state: "pending" | "live" | "stale" | "reconnecting" | "failed";
  readonly why: string;
}

export type Transport = "websocket" | "sse" | "poll";

export interface ConnectionState {
  readonly state: "connecting" | "open" | "waiting" | "closed";
  /** With `open`: which way it goes. */
  readonly transport?: Transport;
  /** Of the close, with `waiting` and `closed`. */
  readonly code?: number;
  readonly reason?: string;
  /** With `waiting`: when it is dialled again. */
  readonly retryMs?: number;
}

/** A refused request, or one refused topic of it; code `token` when the token function failed. */
export interface Refusal {
  readonly op: "error";
  readonly code: string;
  readonly message: string;
  readonly id?: number;
  readonly topic?: string;
}

/** With which a `for await` ends: a refusal of its topic, or the close of the connection. Or a `publish`: a refusal by
 * relayd, or `unavailable` (the connection is not open), `busy` (1000 have no answer yet), `lost` (the connection was lost
 * before the answer: it may have been published). */
export interface RelayError extends Error {
  readonly code: string | number;
  readonly reason?: string;
  readonly topic?: string;
}

export interface SubscribeOptions {
  /** At most so many publications a second and topic, the newest; no effect on topics of deltas. Of several
   * subscriptions to the same text the fastest decides. */
  maxHz?: number;
  /** Publications of a topic that relayd sends ahead of what the page has taken, 4000 unless told: so much a page that is
   * busy finds afterwards, the rest is served by the route's mode. Of several subscriptions the smallest decides. 0: no end. */
  window?: number;
  /** Publications that wait for `for await`; beyond, the oldest are dropped and counted. 1000 unless told. */
  buffer?: number;
}

interface SubscriptionEvents {
  state: TopicState;
  lost: Lost;
  resumed: Resumed;
  error: Refusal;
}

export interface Subscription<Data = Json> {
  /** The topic or pattern, as subscribed. */
  readonly topic: string;
  /** Publications that `for await` did not take in time. */
  readonly dropped: number;
  /** Calls `listener` on each such event; the returned function ends it. */
  on<Type extends keyof SubscriptionEvents>(
    type: Type, listener: (event: SubscriptionEvents[Type]) => void): () => void;
  unsubscribe(): void;
}

/** A subscription without a callback. Ending the loop unsubscribes. */
export interface IterableSubscription<Data = Json> extends Subscription<Data>, AsyncIterableIterator<Item<Data>> {}

export interface ConnectOptions {
  /** Shown first of all on each connection. A function is asked each time, and again before the token ends. */
  token?: string | (() => string | Promise<string>);
  /** At most so many publications a second and topic while the page is hidden (1 unless told); 0: as when visible. */
  hiddenHz?: number;
  /** Ways to try, in this order: where WebSockets are blocked, SSE, then long-polling. */
  transports?: readonly Transport[];
  /** Of requests by HTTP: `include` sends cookies to a relayd of another origin. */
  credentials?: RequestCredentials;
  /** What stands for `globalThis`, in tests. */
  world?: World;
}

/** What relayd.js takes from the browser. */
export interface World {
  readonly WebSocket: new (url: string) => WebSocket;
  readonly Math: Pick<Math, "random">;
  readonly performance: Pick<Performance, "now">;
  readonly location?: Pick<Location, "href">;
  readonly document?: Pick<Document, "visibilityState" | "addEventListener">;
  addEventListener?(type: "online", listener: () => void, options: AddEventListenerOptions): void;
  fetch: typeof fetch;
  setTimeout(call: () => void, ms: number): unknown;
  clearTimeout(timer: any): void;
}

interface ConnectionEvents {
  state: ConnectionState;
  error: Refusal;
}

export interface Connection {
  readonly state: ConnectionState["state"];
  /** The way it goes, or that is tried. */
  readonly transport: Transport;
  on<Type extends keyof ConnectionEvents>(type: Type, listener: (event: ConnectionEvents[Type]) => void): () => void;
  subscribe<Data = Json>(
    topic: string,
    callback: (message: Publication<Data>, subscription: Subscription<Data>) => void,
    options?: SubscribeOptions): Subscription<Data>;
  subscribe<Data = Json>(topic: string, options?: SubscribeOptions): IterableSubscription<Data>;
  /**
   * Publishes a JSON value, where relayd lets this page. It waits for an attempt to connect that is under way, not for
   * another.
   *
   * @returns its position (`epoch:offset`), or nothing where it was handed on to the route's upstream.
   * @throws RelayError
   */
  publish(topic: string, data: unknown): Promise<string | undefined>;
  /** Shows a fresh token on the open connection. */
  authorize(token: string): void;
  /** For good. */
  close(): void;
}

/**
 * Opens a connection that comes back by itself and resumes where each topic stood.
 *
 * @param url of `/ws`: absolute (`wss:` or `https:`) or, in a page, relative to it.
 * @throws TypeError where the URL is none.
 */
export function connect(url: string | URL, options?: ConnectOptions): Connection;

/**
 * One topic of these values, each escaped to one segment.
 *
 * @throws TypeError without a value, or for an empty one.
 */
export function topic(...values: (string | number | boolean | bigint)[]): string;
