/** Monitoring: the figures of each hour, and the latest requests. Imported by the composition root only. */
import type { AnsweredRequest, RecentRequests } from '../../ports/operations/monitoring.js';
import type { RequestEvent, Runtime } from '../../ports/runtime.js';

/** The number of requests that are kept. */
const maxRequests = 1000;
/** The longest id and URL that are kept as bytes, together. Each character takes at most three bytes. */
const maxShortChars = 256;
const bytesPerRequest = 3 * maxShortChars;

/** A kept request. Each property is always there, so that the next request replaces it in place. */
type Kept = {
  -readonly [Name in Exclude<keyof AnsweredRequest, 'id' | 'url'>]-?: AnsweredRequest[Name] | undefined;
} & {
  idChars: number;
  /** The bytes of the id and the URL. */
  shortBytes: number;
  /** The id and the URL, if they are too long for that. */
  long: string | undefined;
};

/**
 * Keeps the last 1000 requests in memory. V8 copies each object that outlives a few requests twice, so nothing is
 * allocated: numbers and references are replaced in place, and strings that each request makes anew are kept as
 * bytes.
 */
export class RequestRing implements RecentRequests {
  readonly #kept: Kept[] = [];
  readonly #texts = Buffer.alloc(maxRequests * bytesPerRequest);
  readonly #now: () => number;
  #last = 0;
  readonly #stop: () => void;

  constructor(runtime: Pick<Runtime, 'now' | 'observe'>) {
    this.#now = () => runtime.now();
    this.#stop = runtime.observe('request', (event) => this.#keep(event));
  }

  after(seq: number, limit: number): readonly AnsweredRequest[] {
    // A larger number comes from an earlier process.
    const missed = this.#last - (seq > this.#last ? 0 : seq);
    return this.latest(Math.min(missed, maxRequests)).slice(0, limit);
  }

  latest(limit: number): readonly AnsweredRequest[] {
    const count = Math.min(limit, this.#kept.length);
    const first = this.#last - count;
    return Array.from({ length: count }, (_, i) => this.#read((first + i) % maxRequests)).filter(
      (request) => request !== undefined,
    );
  }

  /** Stops keeping requests. */
  close(): void {
    this.#stop();
  }

  #keep(event: RequestEvent): void {
    const slot = this.#last % maxRequests;
    this.#last += 1;
    const kept = (this.#kept[slot] ??= createKept());
    const text = event.id + event.url;
    const isShort = text.length <= maxShortChars;
    kept.idChars = event.id.length;
    kept.shortBytes = isShort ? this.#texts.write(text, slot * bytesPerRequest) : 0;
    kept.long = isShort ? undefined : text;
    kept.at = this.#now();
    kept.seq = this.#last;
    replace(kept, event);
  }

  #read(slot: number): AnsweredRequest | undefined {
    const kept = this.#kept[slot];
    if (kept === undefined) return undefined;
    const { idChars, shortBytes, long, ...others } = kept;
    const start = slot * bytesPerRequest;
    const text = long ?? this.#texts.toString('utf8', start, start + shortBytes);
    const known = Object.entries(others).filter(([, value]) => value !== undefined);
    const request = { id: text.slice(0, idChars), url: text.slice(idChars), ...Object.fromEntries(known) };
    // `Object.fromEntries` loses the types of the properties, which `#keep` took from an event.
    return request as unknown as AnsweredRequest;
  }
}

function createKept(): Kept {
  const none = { userAgent: undefined, errorCode: undefined, cache: undefined, servedBy: undefined };
  const texts = { op: '', method: '', principal: '', remoteAddress: '', clientAddress: '' };
  const numbers = { status: 0, durationMs: 0, bytesReceived: 0, bytesSent: 0, at: 0, seq: 0 };
  return { idChars: 0, shortBytes: 0, long: undefined, ...texts, ...numbers, ...none };
}

/** Names each property, which is faster than `Object.assign`. */
function replace(kept: Kept, event: RequestEvent): void {
  kept.op = event.op;
  kept.method = event.method;
  kept.status = event.status;
  kept.durationMs = event.durationMs;
  kept.bytesReceived = event.bytesReceived;
  kept.bytesSent = event.bytesSent;
  kept.principal = event.principal;
  kept.remoteAddress = event.remoteAddress;
  kept.clientAddress = event.clientAddress;
  kept.userAgent = event.userAgent;
  kept.errorCode = event.errorCode;
  kept.cache = event.cache;
  kept.servedBy = event.servedBy;
}
