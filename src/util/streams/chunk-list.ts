/** Smaller chunks are copied: a chunk is a view that keeps the socket's whole read buffer in memory. */
const minKeptChunkBytes = 16 * 1024;
const maxSlabBytes = 64 * 1024;

/** Absent in Node 20, which collects unused buffers without a collection of the whole heap. */
interface Transferable {
  transfer?(newByteLength: number): ArrayBuffer;
}

/**
 * Frees the memory of chunks that nothing else uses. V8 otherwise collects the whole heap after each 25 MiB of chunks, which
 * takes as much CPU time as hashing them. Views of a larger buffer are not freed.
 */
export function freeChunks(chunks: readonly Buffer[]): void {
  for (const chunk of chunks) if (isOwner(chunk)) (chunk.buffer as Transferable).transfer?.(0);
}

/** Returns whether the chunk is a view of all its memory. */
function isOwner(chunk: Buffer): boolean {
  return chunk.length === chunk.buffer.byteLength;
}

/** Collects received chunks in memory proportional to their bytes. Copies adjacent small chunks into shared buffers. */
export class ChunkList {
  readonly #keepsOwned: boolean;
  #chunks: Buffer[] = [];
  #slab = Buffer.alloc(0);
  #used = 0;
  #nextSlabBytes = 0;
  #bytes = 0;

  /** @param keepsOwned whether small chunks that have their own memory are kept, for `freeChunks`. */
  constructor(keepsOwned = false) {
    this.#keepsOwned = keepsOwned;
  }

  /** Returns the number of bytes in the list. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Returns the number of buffers that `take` would return. */
  get length(): number {
    return this.#chunks.length + (this.#used > 0 ? 1 : 0);
  }

  /** Appends a chunk. The caller must not change it afterwards: large chunks are not copied. */
  add(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (chunk.length >= minKeptChunkBytes || (this.#keepsOwned && isOwner(chunk))) {
      this.#closeSlab();
      this.#chunks.push(chunk);
      return;
    }
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#used === this.#slab.length) this.#openSlab(rest.length);
      const copied = rest.copy(this.#slab, this.#used);
      this.#used += copied;
      rest = rest.subarray(copied);
    }
  }

  /** Returns the chunks and empties the list. */
  take(): Buffer[] {
    this.#closeSlab();
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#bytes = 0;
    return chunks;
  }

  #openSlab(minBytes: number): void {
    this.#closeSlab();
    // The first slab fits exactly, since most bodies are a single small chunk.
    this.#slab = Buffer.allocUnsafeSlow(Math.max(minBytes, this.#nextSlabBytes));
    this.#nextSlabBytes = Math.min(Math.max(4096, 2 * this.#nextSlabBytes), maxSlabBytes);
  }

  #closeSlab(): void {
    if (this.#used === 0) return;
    this.#chunks.push(this.#slab.subarray(0, this.#used));
    this.#slab = this.#slab.subarray(this.#used);
    this.#used = 0;
  }
}
