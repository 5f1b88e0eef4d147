import { afterEach, beforeEach } from 'vitest';
import type { GarbageReport } from '../../../src/ports/operations/garbage.js';
import type { RepositoryWriter } from '../../../src/ports/repository.js';
import { digestOf } from '../../../src/protocol/digest.js';
import { someBytes } from '../content/content.js';
import { Domain, keyOf } from './domain.js';

export const layer = someBytes('layer', 3000);
export const layerDigest = digestOf(layer);
/** The image that most tests use, in the repository `local`. */
export const app = keyOf('local', 'team/app');

/** The scene of the collector's tests: the local repository `local` in a domain of its own. */
export interface CollectorScene {
  readonly domain: Domain;
  /** Runs one pass of the garbage collector. */
  readonly collect: () => Promise<GarbageReport>;
  readonly advance: (ms: number) => void;
  /** Returns the writer of the repository `local`. */
  readonly writer: () => RepositoryWriter;
}

/** Opens a scene before each test of the current `describe`, and removes it after the test. */
export function useCollectorScene(): CollectorScene {
  let domain: Domain;
  beforeEach(async () => {
    domain = await Domain.open();
    await domain.addRepository('local');
  });
  afterEach(() => domain.dispose());
  return {
    get domain() {
      return domain;
    },
    collect: () => domain.collector.collect(),
    advance: (ms) => domain.runtime.advance(ms),
    writer: () => domain.writer('local'),
  };
}
