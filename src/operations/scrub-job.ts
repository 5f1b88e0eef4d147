import type { WorkProgress } from '../ports/operations/backup.js';
import type { JobKind } from '../ports/operations/jobs.js';
import { RegistryError } from '../protocol/errors.js';
import { parseParams, scrubParamsSchema } from '../protocol/tables/documents/job-documents.js';
import { maxReported, toJobProgress } from './backup-job.js';
import { scrub, type ScrubParts, type ScrubState } from './scrub.js';

/** The parameters of a scrub. */
export interface ScrubParams {
  readonly repository?: string | undefined;
  readonly bytesPerSecond: number;
}

/** Creates the kind of job that hashes all blobs again. A new process continues where an interrupted one stopped. */
export function createScrubJob(parts: ScrubParts): JobKind<ScrubParams> {
  return {
    kind: 'scrub',
    isResumable: true,
    parse: (params) => parseParams(scrubParamsSchema, params),
    run: async ({ params, dryRun, signal, progress, saved, save }) => {
      if (dryRun) throw new RegistryError('CONFLICT', { message: 'a scrub has no dry run: it only reads' });
      const onProgress = (step: WorkProgress): void => progress(toJobProgress(step));
      // Only this job saves a state for its kind.
      const from = saved as ScrubState | undefined;
      const { damaged, drifted, ...report } = await scrub(parts, { ...params, signal, onProgress, from, save });
      return {
        state: damaged.length + drifted.length > 0 ? 'partly' : 'succeeded',
        report: {
          ...report,
          damagedCount: damaged.length,
          damaged: damaged.slice(0, maxReported),
          driftedCount: drifted.length,
          drifted: drifted.slice(0, maxReported),
        },
      };
    },
  };
}
