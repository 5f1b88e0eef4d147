import type { Job, JobState } from '../ports/operations/jobs.js';
import type { Actor } from '../ports/metadata/journal.js';
import type { Documents } from '../ports/metadata/documents.js';
import type { MetadataStore, MetadataWriter } from '../ports/metadata/metadata.js';
import type { Runtime } from '../ports/runtime.js';
import { follow } from '../util/scheduling/follow.js';
import type { JobRecords } from './job-records.js';

/** How often jobs of processes that died are looked for. */
const settleMs = 15_000;

/** The sources of other processes' jobs. */
export interface OtherJobsParts {
  readonly metadata: Documents & MetadataWriter & Pick<MetadataStore, 'shared'>;
  readonly records: JobRecords;
  readonly runtime: Runtime;
  /** Cancels a job if it runs here. Forgets the request if the job has ended. */
  readonly onCancel: (id: string, by: Actor) => Promise<void>;
}

/** The jobs that run in other processes with the same index. Does nothing if there can be none. */
export class OtherJobs {
  readonly #parts: OtherJobsParts;
  #timer: NodeJS.Timeout | undefined;
  #settling: Promise<void> | undefined;
  #unfollow: () => Promise<void> = () => Promise.resolve();

  constructor(parts: OtherJobsParts) {
    this.#parts = parts;
  }

  /** Returns whether other processes may run jobs. */
  get areThere(): boolean {
    return this.#parts.metadata.shared !== undefined;
  }

  /** Calls `settle` from time to time, and cancels jobs that other processes want to cancel. */
  follow(settle: () => Promise<void>): void {
    const { metadata, runtime, onCancel } = this.#parts;
    if (metadata.shared === undefined) return;
    const onError = (err: unknown): void => runtime.log.warn({ err }, 'jobs of other processes could not be settled');
    const reload = async (): Promise<void> => {
      // Only this class stores documents of this kind.
      for (const { id, value } of await metadata.documents('job-cancel')) await onCancel(id, value as Actor);
    };
    const run = (): void => {
      this.#settling ??= settle()
        .then(reload)
        .catch(onError)
        .finally(() => (this.#settling = undefined));
    };
    this.#timer = setInterval(run, settleMs).unref();
    this.#unfollow = follow(metadata.shared, { kind: 'job-cancel', reload, log: runtime.log });
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#settling;
    await this.#unfollow();
  }

  /** Returns whether a job that no process runs still has a state. Asks the index, because memory may be a second old. */
  async isStill({ id }: Job, state: JobState): Promise<boolean> {
    const { metadata, records } = this.#parts;
    if (metadata.shared === undefined) return true;
    await metadata.shared.refresh();
    return (await records.get(id))?.state === state;
  }

  /** Returns the id of the running job of a kind. */
  async runningOf(kind: string): Promise<string | undefined> {
    const { metadata, records } = this.#parts;
    await metadata.shared?.refresh();
    return (await records.list()).find((job) => job.kind === kind && job.state === 'running')?.id;
  }

  /** Asks the process that runs a job to cancel it. */
  async cancel(id: string, by: Actor): Promise<void> {
    const change = { type: 'document.put', kind: 'job-cancel', id, value: by } as const;
    await this.#parts.metadata.apply([change], { durable: true });
  }

  /** Returns who asked to cancel a job of a process that died before it did. */
  async cancellerOf(id: string): Promise<Actor | undefined> {
    if (!this.areThere) return undefined;
    return (await this.#parts.metadata.document('job-cancel', id)) as Actor | undefined;
  }

  /** Forgets who asked to cancel a job that ended. */
  async forget(id: string): Promise<void> {
    if ((await this.cancellerOf(id)) === undefined) return;
    const change = { type: 'document.delete', kind: 'job-cancel', id } as const;
    await this.#parts.metadata.apply([change], { durable: false });
  }
}
