import { Level } from 'level';
import type { LevelMetadataStoreOptions } from '../../../src/storage/level/level-options.js';

/** The messages of the next failures, in order. Each is used once. */
export interface LevelFaults {
  readonly batches: string[];
  readonly opens: string[];
  readonly closes: string[];
  readonly gets: string[];
  /** Whether a failing batch reaches the disk nevertheless. */
  writesBeforeFailing: boolean;
  /** The number of databases that were opened. */
  opened: number;
  /** Called while a database closes or opens. */
  during: (phase: 'closing' | 'opening') => void;
}

/** Creates faults that let nothing fail. */
export function createFaults(): LevelFaults {
  return { batches: [], opens: [], closes: [], gets: [], writesBeforeFailing: false, opened: 0, during: () => {} };
}

/** Creates databases that fail as `faults` specifies, and otherwise behave like LevelDB. */
export function failingLevel(faults: () => LevelFaults): NonNullable<LevelMetadataStoreOptions['createLevel']> {
  class FailingLevel extends Level {
    override async open(options: object = {}): Promise<void> {
      if (faults().opens.length > 0) {
        // Otherwise the database would open by itself in the next turn.
        await super.close();
        failNext(faults().opens);
      }
      const opening = super.open(options);
      faults().during('opening');
      await opening;
      faults().opened += 1;
    }

    override async close(): Promise<void> {
      failNext(faults().closes);
      const closing = super.close();
      faults().during('closing');
      await closing;
    }

    override getSync(key: string): string | undefined {
      failNext(faults().gets);
      return super.getSync(key, {});
    }

    override batch(): never {
      const chained = super.batch();
      const write = chained.write.bind(chained) as (options: object) => Promise<void>;
      return Object.assign(chained, {
        async write(options: object) {
          if (faults().batches.length > 0) {
            await (faults().writesBeforeFailing ? write(options) : chained.close());
            failNext(faults().batches);
          }
          return write(options);
        },
      }) as never;
    }
  }
  return (folder, options) => {
    // The overrides accept fewer arguments than the methods of Level.
    const level: unknown = new FailingLevel(folder, options);
    return level as Level;
  };
}

function failNext(messages: string[]): void {
  const message = messages.shift();
  if (message !== undefined) throw Object.assign(new Error(message), { code: 'LEVEL_IO_ERROR' });
}
