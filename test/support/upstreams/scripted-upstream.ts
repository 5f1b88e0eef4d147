import type { Readable } from 'node:stream';
import type { Upstream, UpstreamBlob, UpstreamResult } from '../../../src/ports/upstream.js';
import type { Digest } from '../../../src/protocol/digest.js';
import { brokenSource, sourceOf } from '../content/bytes.js';

/** The answer to a request for a blob. */
export type BlobAnswer = UpstreamResult<UpstreamBlob>;
/** The reaction to a request for a blob from an offset on. */
export type Act = (offset: number) => BlobAnswer | Promise<BlobAnswer>;

/** How an upstream serves bytes. */
export interface ServeOptions {
  /** Fails after this many bytes of the blob. */
  readonly cutAt?: number;
  /** Ends after this many bytes as if the blob were complete. */
  readonly endAt?: number;
  readonly announced?: number | 'nothing';
  readonly ignoresRanges?: boolean;
  readonly piece?: number;
}

/** Serves the bytes from the requested offset. */
export function serve(bytes: Buffer, options: ServeOptions = {}): Act {
  return (offset) => {
    const start = options.ignoresRanges === true ? 0 : offset;
    const part = bytes.subarray(start, options.cutAt ?? options.endAt);
    const piece = options.piece ?? 64 * 1024;
    const body = options.cutAt === undefined ? sourceOf(part, piece) : brokenSource(part, new Error('cut'), piece);
    return found(body, start, options.announced ?? bytes.length);
  };
}

/** Returns the answer with a body. */
export function found(body: Readable, offset: number, size: number | 'nothing'): BlobAnswer {
  return { type: 'found', value: { body, offset, ...(size === 'nothing' ? {} : { size }) } };
}

/** Answers that the blob does not exist. */
export const absent: Act = () => ({ type: 'absent' });

/** Answers with a failure. */
export function failing(reason = 'it answered 502', more: { status?: number; retryAfterSeconds?: number } = {}): Act {
  return () => ({ type: 'failed', reason: { upstream: 'up.example', reason, ...more } });
}

function notAsked(): never {
  throw new Error('a fill does not send this request');
}

/** Answers blob requests according to a script, call by call. The last entry repeats. */
export class ScriptedUpstream implements Upstream {
  readonly host: string;
  readonly asked: {
    readonly image: string;
    readonly digest: Digest;
    readonly offset: number;
    readonly trail: string;
  }[] = [];
  readonly heads: string[] = [];
  /** The answer to a HEAD. */
  stat: UpstreamResult<{ readonly size?: number }> = { type: 'found', value: {} };
  /** Number of bytes read from the bodies. */
  bytesGiven = 0;
  readonly bodies: Readable[] = [];
  readonly budget = 1;
  readonly breaker = { state: 'closed', failures: 0 } as const;
  readonly #script: Act[];
  readonly statManifest = notAsked;
  readonly getManifest = notAsked;
  readonly listTags = notAsked;
  readonly listImages = notAsked;
  readonly listReferrers = notAsked;
  readonly exchange = notAsked;
  readonly checkRegistry = notAsked;
  readonly probe = notAsked;
  readonly via = notAsked;
  readonly refusedCredentials = undefined;
  readonly refusalFor = notAsked;

  constructor(script: readonly Act[], host = 'up.example') {
    this.#script = [...script];
    this.host = host;
  }

  async statBlob(image: string): Promise<UpstreamResult<{ readonly size?: number }>> {
    this.heads.push(image);
    return this.stat;
  }

  async getBlob(image: string, digest: Digest, offset: number, trail: readonly string[]): Promise<BlobAnswer> {
    this.asked.push({ image, digest, offset, trail: trail.join(' ') });
    const act = this.#script.length > 1 ? this.#script.shift() : this.#script[0];
    if (act === undefined) throw new Error('the upstream has no script');
    const answer = await act(offset);
    if (answer.type === 'found') {
      const { body } = answer.value;
      this.bodies.push(body);
      const push = body.push.bind(body);
      body.push = (chunk: Buffer | null) => {
        this.bytesGiven += chunk?.length ?? 0;
        return push(chunk);
      };
    }
    return answer;
  }

  async close(): Promise<void> {}
}
