import { Readable } from 'node:stream';

/**
 * Returns a byte stream of what a generator yields. `onDestroy` runs as soon as the stream is destroyed, or has ended. `Readable.from`
 * tells the generator only when the value that it waits for arrives, which may be never.
 */
export function generatedStream(source: AsyncGenerator<Buffer>, onDestroy: () => void): Readable {
  return new Readable({
    read() {
      source.next().then(
        ({ done, value }) => this.push(done === true ? null : value),
        (error: Error) => this.destroy(error),
      );
    },
    destroy(error, closed) {
      onDestroy();
      void end(source);
      closed(error);
    },
  });
}

/** Ends a generator, which may be waiting for bytes that never arrive: the stream does not wait for it. */
async function end(source: AsyncGenerator<Buffer>): Promise<void> {
  await source.return(undefined).catch(() => undefined);
}
