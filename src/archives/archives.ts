/**
 * Imports and exports image archives: `docker save` archives and OCI layouts. The composition root imports it; it imports
 * ports/, protocol/ and util/.
 */
import type { Archives } from '../ports/archives.js';
import { Semaphore } from '../util/scheduling/concurrency.js';
import { TurnGate } from '../util/scheduling/turns.js';
import { exportArchive } from './export/archive-export.js';
import { importArchive } from './import/archive-import.js';

/** The maximum number of exports that collect the list of their files at once: an image may have thousands of files. */
const maxConcurrentCollections = 2;

/** Creates the archives of one registry. All imports share one `TurnGate`. */
export function createArchives(): Archives {
  const gate = new TurnGate();
  const collecting = new Semaphore(maxConcurrentCollections);
  return {
    import: (repository, source, request) => importArchive(repository, source, request, gate),
    export: (repository, request) => collecting.run(() => exportArchive(repository, request)),
  };
}
