/**
 * Image archives: import and export of `docker save` archives and OCI layouts. Imported by the composition root;
 * imports ports/, protocol/ and util/.
 */
import type { Archives } from '../ports/archives.js';
import { Semaphore } from '../util/concurrency.js';
import { TurnGate } from '../util/turns.js';
import { exportArchive } from './export/archive-export.js';
import { importArchive } from './import/archive-import.js';

/** Exports whose files are collected at a time: an image may have thousands. */
const maxCollecting = 2;

/** Creates the imports and exports of one registry, which share turns of the event loop. */
export function createArchives(): Archives {
  const gate = new TurnGate();
  const collecting = new Semaphore(maxCollecting);
  return {
    import: (repository, source, request) => importArchive(repository, source, request, gate),
    export: (repository, request) => collecting.run(() => exportArchive(repository, request)),
  };
}
