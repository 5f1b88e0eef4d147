import type { GarbageCollector } from '../ports/operations/garbage.js';
import type { JobKind } from '../ports/operations/jobs.js';
import { garbageParamsSchema, parseParams } from '../protocol/tables/documents/job-documents.js';

/** Creates the kind of job that collects garbage. Not resumable: the next pass finds what an interrupted one left. */
export function createGarbageJob(garbage: GarbageCollector): JobKind<{ readonly graceSeconds?: number | undefined }> {
  return {
    kind: 'garbage',
    isResumable: false,
    parse: (params) => parseParams(garbageParamsSchema, params),
    run: async ({ params: { graceSeconds }, dryRun, signal, progress }) => {
      const onProgress = (done: number): void => progress({ done, unit: 'candidates' });
      const graceMs = graceSeconds === undefined ? undefined : graceSeconds * 1000;
      const report = await garbage.collect({ dryRun, graceMs, signal, onProgress });
      return { state: signal.aborted ? 'cancelled' : 'succeeded', report };
    },
  };
}
