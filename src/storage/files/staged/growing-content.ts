import type { Writable } from 'node:stream';
import type { ByteRange, FollowedContent } from '../../../ports/bytes.js';
import { SinkWriter } from '../../../util/streams/sink-writer.js';
import type { Piece, PieceReader } from '../file-content.js';
import type { Follower, Growth } from './growth.js';

const maxClaimBytes = 1024 * 1024;

/** Opens the source of one reader before its first read. No one else uses it. */
export type OpenPieces = () => Promise<PieceReader>;

/**
 * Staged bytes, or a range of them, sent while they arrive. The next piece is awaited and read while the sink handles
 * the current one.
 */
export class GrowingContent implements FollowedContent {
  readonly size: number;
  readonly #start: number;
  readonly #end: number;
  readonly #growth: Growth;
  readonly #open: OpenPieces;

  constructor(growth: Growth, total: number, range: ByteRange | undefined, open: OpenPieces) {
    this.size = total;
    this.#start = range?.start ?? 0;
    this.#end = range === undefined ? total : range.end + 1;
    this.#growth = growth;
    this.#open = open;
  }

  async writeTo(sink: Writable, onSent?: (bytes: number) => void): Promise<void> {
    const writer = new SinkWriter(sink);
    const follower = this.#growth.join(this.size, this.#end);
    // A reader that waits for bytes does not write, and would not notice that the sink closed.
    const onGone = (): void => follower.leave();
    sink.on('close', onGone).on('error', onGone);
    try {
      writer.check();
      await this.#copy(follower, writer, onSent);
    } catch (error) {
      writer.check();
      throw error;
    } finally {
      follower.leave();
      sink.off('close', onGone).off('error', onGone);
      writer.release();
    }
  }

  async #copy(follower: Follower, writer: SinkWriter, onSent?: (bytes: number) => void): Promise<void> {
    const first = await follower.claim(this.#start, maxClaimBytes);
    if (first === 0) return;
    const pieces = await this.#open();
    try {
      await this.#send(follower, pieces, first, async (bytes) => {
        await writer.write(bytes);
        onSent?.(bytes.length);
      });
    } finally {
      await pieces.close();
    }
  }

  async #send(
    follower: Follower,
    pieces: PieceReader,
    first: number,
    write: (bytes: Buffer) => Promise<void>,
  ): Promise<void> {
    let position = this.#start;
    let ahead: Promise<Piece | undefined> = pieces.read(position, first);
    try {
      for (let piece = await ahead; piece !== undefined; piece = await ahead) {
        position += piece.bytes.length;
        ahead = this.#next(follower, pieces, position);
        // After a rejection the sink may still hold the buffer, so it never returns to the pool.
        await write(piece.bytes);
        pieces.giveBack(piece);
      }
    } finally {
      // The source is closed next, so no read may be in progress or waiting.
      follower.leave();
      await ahead.then(
        (piece) => piece !== undefined && pieces.giveBack(piece),
        () => undefined,
      );
    }
  }

  /** Resolves to the next piece once it has been written, or to `undefined` after the last. */
  #next(follower: Follower, pieces: PieceReader, position: number): Promise<Piece | undefined> {
    const next = follower
      .claim(position, maxClaimBytes)
      .then((length) => (length === 0 ? undefined : pieces.read(position, length)));
    // It may reject before it is awaited.
    next.catch(() => undefined);
    return next;
  }
}
