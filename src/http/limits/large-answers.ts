import { RegistryError } from '../../protocol/errors.js';
import { CustomerCounts } from '../../util/scheduling/customer-counts.js';
import { TurnGate } from '../../util/scheduling/turns.js';

const mebibyte = 1024 * 1024;
/** The maximum size of an answer that does not count towards the limits. */
const maxSmallBytes = 64 * 1024;
const maxBytes = 128 * mebibyte;
const maxBytesPerClient = 64 * mebibyte;

/**
 * Limits the memory of one registry's large answers: lists and manifests, which stay in memory until the client has read
 * them. Blobs are streamed and do not count.
 */
export class LargeAnswers {
  readonly #clients = new CustomerCounts(maxBytesPerClient);
  readonly #gate = new TurnGate();
  #bytes = 0;

  /** Resolves when the caller may build an answer of about this size: one large answer per turn of the event loop. */
  turn(bytes: number): Promise<void> {
    return this.#gate.pass(bytes);
  }

  /**
   * Counts an answer until the returned function is called. Returns `undefined` for a small one.
   * @throws RegistryError TOOMANYREQUESTS when too much is in memory, in total or for the client.
   */
  enter(address: string, bytes: number): (() => void) | undefined {
    if (bytes <= maxSmallBytes) return undefined;
    const leave = this.#bytes + bytes > maxBytes ? undefined : this.#clients.enter(address, bytes);
    if (leave === undefined) {
      throw new RegistryError('TOOMANYREQUESTS', {
        message: 'too many large answers are unread: read them, or try again later',
        headers: { 'Retry-After': '1' },
        refusal: 'large_answers',
      });
    }
    this.#bytes += bytes;
    return () => {
      this.#bytes -= bytes;
      leave();
    };
  }
}
