import { createHash } from 'node:crypto';
import type { Documents } from '../../ports/metadata/documents.js';
import type { JobContext, JobKind, JobOutcome, PlannedItem } from '../../ports/operations/jobs.js';
import type { Actor } from '../../ports/metadata/journal.js';
import type { HookGate } from '../../ports/hooks.js';
import type { ImageKey } from '../../ports/metadata/images.js';
import type { Change, MetadataWriter } from '../../ports/metadata/metadata.js';
import type { Runtime } from '../../ports/runtime.js';
import { parseParams, retentionParamsSchema } from '../../protocol/tables/documents/job-documents.js';
import type { LocalRepositoryConfig, RepositoryConfig } from '../../protocol/settings/repository-config.js';
import type { RetentionSettings } from '../../protocol/settings/retention-config.js';
import { readFacts, type FactsSource } from './retention-facts.js';
import { isLocal, planRetention, policyFor, type ImagePlan } from './retention-plan.js';
import { decide, type Doomed } from './retention-rules.js';
import { describeStep, isPermitted, toSteps, type Step } from './retention-steps.js';

export interface RetentionParts {
  readonly metadata: FactsSource & MetadataWriter & Documents;
  readonly runtime: Runtime;
  /** The repositories that are served, with their current settings. */
  readonly repositories: () => readonly RepositoryConfig[];
  /** Asks the host application before a deletion. */
  readonly hooks: Pick<HookGate, 'delete'>;
  /** The current policies. */
  readonly settings: () => RetentionSettings | undefined;
}

type Params = { readonly names?: readonly string[] | undefined };

/** The number of plans of the last jobs that are kept in memory. */
const maxPlans = 3;
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
  readonly #plans = new Map<string, { readonly plans: readonly ImagePlan[]; readonly policies: string }>();

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
      ?.plans.flatMap(({ at, doomed, isLarge }) =>
        doomed.map(({ subject: _subject, ...one }): PlannedItem => ({ ...at, ...one, isWaiting: isLarge })),
      );
  }

  async run(context: JobContext<Params>): Promise<JobOutcome> {
    const settings = this.#parts.settings();
    if (settings === undefined) {
      this.#remember(context.id, []);
      return { state: 'succeeded', report: { policies: 0 } };
    }
    const { plans, isSeen } = await this.#planOf(settings, context);
    const report = { policies: settings.policies.length, planned: summarize(plans) };
    if (context.dryRun) return { state: 'succeeded', report };
    // Someone who confirms the plan for some images has not seen what the policies do to others.
    if (isSeen && context.params.names === undefined) await this.#confirm(settings, context.by);
    const isKnown = await this.#isConfirmed(settings);
    const due = isSeen ? plans : isKnown ? plans.filter(({ isLarge }) => !isLarge) : [];
    const done = await this.#carryOut(settings, due, context);
    const left = plans.filter((plan) => !due.includes(plan));
    if (left.length > 0) this.#remember(context.id, left, fingerprint(settings));
    const waiting = left.length === 0 ? {} : { because: isKnown ? 'maxShare' : 'changed policies' };
    const ended = left.length > 0 ? 'waiting' : done.skipped > 0 ? 'partly' : 'succeeded';
    return { state: context.signal.aborted ? 'cancelled' : ended, report: { ...report, ...waiting, ...done } };
  }

  /** Returns the plan that a person confirmed, or makes a new one, as after a restart or a change of the policies. */
  async #planOf(
    settings: RetentionSettings,
    { id, isConfirmed, params, signal, progress }: JobContext<Params>,
  ): Promise<{ readonly plans: readonly ImagePlan[]; readonly isSeen: boolean }> {
    const known = isConfirmed ? this.#plans.get(id) : undefined;
    if (known?.policies === fingerprint(settings)) return { plans: known.plans, isSeen: true };
    const plans = await planRetention(this.#parts.metadata, {
      policies: settings.policies,
      repositories: this.#parts.repositories(),
      names: params.names,
      now: this.#parts.runtime.now(),
      signal,
      onImage: (done) => progress({ done, unit: 'images' }),
    });
    this.#remember(id, plans, fingerprint(settings));
    return { plans, isSeen: false };
  }

  /** Deletes what the plans name and the policies still delete. The only code of retention that writes. */
  async #carryOut(
    settings: RetentionSettings,
    plans: readonly ImagePlan[],
    { by, signal, progress }: JobContext<Params>,
  ): Promise<{ readonly tagsDeleted: number; readonly manifestsDeleted: number; readonly skipped: number }> {
    const done = { tagsDeleted: 0, manifestsDeleted: 0, skipped: 0 };
    const total = plans.reduce((sum, { doomed }) => sum + doomed.length, 0);
    for (const { at, doomed } of plans) {
      if (signal.aborted) return done;
      const config = this.#parts.repositories().find(({ name }) => name === at.repository);
      const still =
        config !== undefined && isLocal(config) ? await this.#stillDoomed(settings, config, at, doomed) : [];
      done.skipped += doomed.length - still.length;
      for (const step of toSteps(still)) {
        // The image was looked up in a repository that exists.
        const isDeleted = await this.#delete(at, config as LocalRepositoryConfig, step, by);
        if (!isDeleted) done.skipped += step.tags.length + (step.manifest === undefined ? 0 : 1);
        else {
          done.tagsDeleted += step.tags.length;
          done.manifestsDeleted += step.manifest === undefined ? 0 : 1;
        }
        progress({ done: done.tagsDeleted + done.manifestsDeleted + done.skipped, total, unit: 'items' });
      }
    }
    return done;
  }

  /** Decides again: content that was pushed, pulled or made immutable since the plan was made stays. */
  async #stillDoomed(
    { policies }: RetentionSettings,
    config: LocalRepositoryConfig,
    at: ImageKey,
    planned: readonly Doomed[],
  ): Promise<readonly Doomed[]> {
    const policy = policyFor(policies, at);
    if (policy === undefined) return [];
    const { metadata, runtime } = this.#parts;
    const { doomed } = decide(policy, await readFacts(metadata, config, at), runtime.now());
    const known = new Set(planned.map(({ tag, digest }) => `${tag} ${digest}`));
    return doomed.filter(({ tag, digest }) => known.has(`${tag} ${digest}`));
  }

  /** Returns false when a hook refused it, a tag moved, or something names the manifest again. */
  async #delete(at: ImageKey, config: LocalRepositoryConfig, step: Step, actor: Actor): Promise<boolean> {
    const { metadata, runtime } = this.#parts;
    if (!(await isPermitted(this.#parts.hooks, at, step, actor))) return false;
    const when = runtime.now();
    const { changes, require } = describeStep(at, config, step, when);
    if (!(await metadata.tryApply(changes, { durable: true, require, by: { actor, at: when } }))) return false;
    const { tags, manifest } = step;
    if (manifest !== undefined) runtime.emit('manifest.deleted', { at, digest: manifest.digest, by: actor });
    else for (const tag of tags) runtime.emit('tag.deleted', { at, tag, by: actor });
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

  #remember(job: string, plans: readonly ImagePlan[], policies = ''): void {
    this.#plans.delete(job);
    this.#plans.set(job, { plans, policies });
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
