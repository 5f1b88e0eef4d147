import { createHash } from 'node:crypto';
import type { Documents } from '../../ports/documents.js';
import type { JobContext, JobKind, JobOutcome, PlannedItem } from '../../ports/jobs.js';
import type { Actor } from '../../ports/journal.js';
import type { Change, MetadataWriter, Precondition, RepositoryRecords } from '../../ports/metadata.js';
import type { Runtime } from '../../ports/runtime.js';
import { parseParams, retentionParamsSchema } from '../../protocol/tables/job-documents.js';
import { trashUntilOf } from '../../protocol/settings/repository-config.js';
import type { RetentionSettings } from '../../protocol/settings/retention-config.js';
import type { FactsSource } from './retention-facts.js';
import { planRetention, type ImagePlan } from './retention-plan.js';
import type { Doomed } from './retention-rules.js';

export interface RetentionParts {
  readonly metadata: FactsSource & RepositoryRecords & MetadataWriter & Documents;
  readonly runtime: Runtime;
  /** The present policies. */
  readonly settings: () => RetentionSettings | undefined;
}

type Params = { readonly names?: readonly string[] | undefined };

/** Plans of the last jobs that are kept in memory. */
const maxPlans = 10;
/** The document that holds the policies that a person confirmed. */
const confirmedId = 'policies';

/**
 * Carries out retention policies. A dry run plans only; `carryOut` is the only part that deletes. The first run of
 * changed policies, and what exceeds the share of a policy, waits for a confirmation. Not resumable: the next run plans
 * again.
 */
export class RetentionJob implements JobKind<Params> {
  readonly kind = 'retention';
  readonly isResumable = false;
  readonly #parts: RetentionParts;
  readonly #plans = new Map<string, readonly ImagePlan[]>();

  constructor(parts: RetentionParts) {
    this.#parts = parts;
  }

  parse(params: Readonly<Record<string, unknown>>): Params {
    return parseParams(retentionParamsSchema, params);
  }

  /** Returns what the plan of a job deletes. `undefined` when the plan is not known, as after a restart. */
  plan(job: string): readonly PlannedItem[] | undefined {
    return this.#plans
      .get(job)
      ?.flatMap(({ at, doomed, isLarge }) => doomed.map((one): PlannedItem => ({ ...at, ...one, isWaiting: isLarge })));
  }

  async run(context: JobContext<Params>): Promise<JobOutcome> {
    const settings = this.#parts.settings();
    if (settings === undefined) {
      this.#remember(context.id, []);
      return { state: 'succeeded', report: { policies: 0 } };
    }
    const kept = context.isConfirmed ? this.#plans.get(context.id) : undefined;
    const plans = kept ?? (await this.#plan(settings, context));
    this.#remember(context.id, plans);
    const report = { policies: settings.policies.length, planned: summarize(plans) };
    if (context.dryRun) return { state: 'succeeded', report };
    const isKnown = await this.#isConfirmed(settings);
    // A plan that was made again after a restart is not what the person saw.
    const isConfirmed = context.isConfirmed && kept !== undefined;
    if (isConfirmed) await this.#confirm(settings, context.by);
    const due = isConfirmed ? plans : isKnown ? plans.filter(({ isLarge }) => !isLarge) : [];
    const done = await this.#carryOut(due, context);
    const isWaiting = due.length < plans.length;
    if (isWaiting)
      this.#remember(
        context.id,
        plans.filter((plan) => !due.includes(plan)),
      );
    const waiting = isWaiting ? { because: isKnown ? 'maxShare' : 'changed policies' } : {};
    const state = context.signal.aborted
      ? 'cancelled'
      : isWaiting
        ? 'waiting'
        : done.skipped > 0
          ? 'partly'
          : 'succeeded';
    return { state, report: { ...report, ...waiting, ...done } };
  }

  #plan(settings: RetentionSettings, { params, signal, progress }: JobContext<Params>): Promise<readonly ImagePlan[]> {
    return planRetention(this.#parts.metadata, {
      policies: settings.policies,
      names: params.names,
      now: this.#parts.runtime.now(),
      signal,
      onImage: (done) => progress({ done, unit: 'images' }),
    });
  }

  /** Deletes what the plans name, unless it changed since. The only code of retention that writes. */
  async #carryOut(
    plans: readonly ImagePlan[],
    { by, signal, progress }: JobContext<Params>,
  ): Promise<{ readonly tagsDeleted: number; readonly manifestsDeleted: number; readonly skipped: number }> {
    const done = { tagsDeleted: 0, manifestsDeleted: 0, skipped: 0 };
    const total = plans.reduce((sum, { doomed }) => sum + doomed.length, 0);
    for (const plan of plans) {
      for (const doomed of plan.doomed) {
        if (signal.aborted) return done;
        const isDeleted = await this.#delete(plan, doomed, by);
        if (!isDeleted) done.skipped += 1;
        else if (doomed.kind === 'tag') done.tagsDeleted += 1;
        else done.manifestsDeleted += 1;
        progress({ done: done.tagsDeleted + done.manifestsDeleted + done.skipped, total, unit: 'items' });
      }
    }
    return done;
  }

  /** Returns false when the tag moved, or something names the manifest again. */
  async #delete({ at, config }: ImagePlan, { tag, digest }: Doomed, actor: Actor): Promise<boolean> {
    const { metadata, runtime } = this.#parts;
    const when = runtime.now();
    const change: Change =
      tag === undefined
        ? { type: 'manifest.delete', at, digest, when, trashUntil: trashUntilOf(config, when) }
        : { type: 'tag.delete', at, tag };
    const require: Precondition =
      tag === undefined
        ? { type: 'holders', at, digest, are: { tags: [], namedBy: [] } }
        : { type: 'tag', at, tag, is: { digest } };
    if (!(await metadata.tryApply([change], { durable: true, require: [require], by: { actor, at: when } })))
      return false;
    if (tag === undefined) runtime.emit('manifest.deleted', { at, digest, by: actor });
    else runtime.emit('tag.deleted', { at, tag, by: actor });
    return true;
  }

  async #isConfirmed(settings: RetentionSettings): Promise<boolean> {
    const stored = await this.#parts.metadata.document('retention', confirmedId);
    return stored !== undefined && 'sha256' in stored && stored.sha256 === fingerprint(settings);
  }

  async #confirm(settings: RetentionSettings, actor: Actor): Promise<void> {
    const at = this.#parts.runtime.now();
    const value = { sha256: fingerprint(settings), confirmedAt: at };
    const put: Change = { type: 'document.put', kind: 'retention', id: confirmedId, value };
    await this.#parts.metadata.apply([put], { durable: true, by: { actor, at } });
  }

  #remember(job: string, plans: readonly ImagePlan[]): void {
    this.#plans.set(job, plans);
    const [oldest] = this.#plans.keys();
    if (this.#plans.size > maxPlans && oldest !== undefined) this.#plans.delete(oldest);
  }
}

function fingerprint({ policies }: RetentionSettings): string {
  return createHash('sha256').update(JSON.stringify(policies)).digest('hex');
}

function summarize(plans: readonly ImagePlan[]): object {
  const doomed = plans.flatMap((plan) => plan.doomed);
  return {
    images: plans.length,
    tags: doomed.filter(({ kind }) => kind === 'tag').length,
    manifests: doomed.filter(({ kind }) => kind === 'manifest').length,
    bytes: plans.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}
