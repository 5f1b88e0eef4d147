import type { IncomingMessage } from 'node:http';
import { RegistryError } from '../../protocol/errors.js';
import { CustomerCounts } from '../../util/scheduling/customer-counts.js';
import { SourceClosedError } from '../../util/streams/source-listener.js';
import { readBounded } from '../../util/streams/streams.js';
import { TurnGate } from '../../util/scheduling/turns.js';
import { announcesBody, openBody } from './body.js';

/** Bodies up to this size are not counted: the 1000 connections of one client hold at most 64 MiB of them. */
const maxSmallBytes = 64 * 1024;
/** The maximum number of larger bodies in memory. Each has at most 4 MiB, the limit of a manifest. */
const maxLargeBodies = 16;
const maxLargeBodiesPerClient = 8;

/** The body of one request, for handlers that need all of it in memory. */
export interface RequestBody {
  /**
   * Reads the whole body.
   * @throws RegistryError of `tooLarge` when the body is larger than `maxBytes`; BLOB_UPLOAD_INVALID when it ends early;
   * TOOMANYREQUESTS when too many large bodies are in memory.
   */
  read(maxBytes: number, tooLarge: () => RegistryError): Promise<Buffer>;
}

const emptyBody: RequestBody = { read: () => Promise.resolve(Buffer.alloc(0)) };

/**
 * Reads request bodies into memory. Limits how many large bodies are in memory at once, and returns at most one per turn of
 * the event loop (`TurnGate`).
 */
export class BodyReader {
  readonly #clients = new CustomerCounts(maxLargeBodiesPerClient);
  #largeBodies = 0;
  readonly #gate = new TurnGate();

  /** Runs `task`, which answers the request. A large body counts towards the limits until the task ends. */
  use<T>(req: IncomingMessage, address: string, task: (body: RequestBody) => Promise<T>): Promise<T> {
    return announcesBody(req) ? this.#use(req, address, task) : task(emptyBody);
  }

  async #use<T>(req: IncomingMessage, address: string, task: (body: RequestBody) => Promise<T>): Promise<T> {
    let leave: (() => void) | undefined;
    const read: RequestBody['read'] = async (maxBytes, tooLarge) => {
      const source = openBody(req);
      if (Number(req.headers['content-length'] ?? 0) > maxBytes) throw tooLarge();
      const bytes = await readBounded(source, maxBytes, (received) => {
        if (received > maxSmallBytes) leave ??= this.#enter(address);
      }).catch(rethrow);
      if (bytes === undefined) throw tooLarge();
      await this.#gate.pass(bytes.length);
      return bytes;
    };
    try {
      return await task({ read });
    } finally {
      leave?.();
    }
  }

  #enter(address: string): () => void {
    const leave = this.#largeBodies < maxLargeBodies ? this.#clients.enter(address) : undefined;
    if (leave === undefined) {
      throw new RegistryError('TOOMANYREQUESTS', {
        message: 'too many large manifests or documents are being processed: try again later',
        headers: { 'Retry-After': '1' },
        refusal: 'large_bodies',
      });
    }
    this.#largeBodies += 1;
    return () => {
      this.#largeBodies -= 1;
      leave();
    };
  }
}

function rethrow(cause: unknown): never {
  if (!(cause instanceof SourceClosedError)) throw cause;
  throw new RegistryError('BLOB_UPLOAD_INVALID', { message: 'the request body ended early', cause });
}
