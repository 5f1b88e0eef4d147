import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { JobDocument, PlanDocument, PlannedItemDocument } from '../../../../src/protocol/documents/activity.js';
import { ApiError, get, send } from '../../api.ts';
import { compareNaturally, count, formatBytes, formatNumber } from '../../format.ts';
import { hrefOf } from '../../location.ts';
import { DialogForm } from '../../parts/dialog.tsx';
import { Facts, Page, Section } from '../../parts/page.tsx';
import { Answered, Empty } from '../../parts/problem.tsx';
import { announce } from '../../parts/status.tsx';
import { Table, type Column } from '../../parts/table.tsx';
import { When } from '../../parts/texts.tsx';
import { session } from '../../session.ts';
import { useAnswer, useRefresh } from '../../use-answer.ts';

const classes: Readonly<Record<JobDocument['state'], string>> = {
  running: '',
  waiting: 'warn',
  succeeded: 'good',
  partly: 'warn',
  failed: 'bad',
  cancelled: '',
};

/** Shows the state of a job. */
export function State({ job: { state, cancelled_by: isCancelled } }: { readonly job: JobDocument }): VNode {
  const text = state === 'running' && isCancelled !== undefined ? 'stopping' : state;
  return <span class={`badge ${classes[state]}`}>{text === 'waiting' ? 'waiting for confirmation' : text}</span>;
}

/** Shows the report of a job: in one line, or completely. */
export function Report({ job, isShort = false }: { readonly job: JobDocument; readonly isShort?: boolean }): VNode {
  const { error, report = {} } = job;
  const facts = factsOf(report);
  if (!isShort) return <Facts facts={facts} />;
  if (error !== undefined) return <span class="wrong">{error}</span>;
  const shown = facts.filter(([, text]) => text !== '0' && text !== '0 B').slice(0, 4);
  if (shown.length === 0) return <span class="faint">{job.report === undefined ? '' : 'nothing to do'}</span>;
  return <span>{shown.map(([name, text]) => `${name} ${text}`).join(', ')}</span>;
}

const times = new Set(['started at', 'finished at']);

/** Returns the figures and texts of a report, including those of nested objects. */
function factsOf(report: object, prefix = ''): readonly (readonly [name: string, text: string])[] {
  return Object.entries(report).flatMap(([key, value]: [string, unknown]) => {
    const name = `${prefix}${key.replaceAll('_', ' ')}`;
    if (times.has(name) || key === 'dry_run' || value === null) return [];
    if (typeof value === 'number') return [[name, /bytes/.test(key) ? formatBytes(value) : formatNumber(value)]];
    if (Array.isArray(value)) return value.length === 0 ? [] : [[name, value.map(textOf).join(', ')]];
    return typeof value === 'object' ? factsOf(value, `${name} `) : [[name, textOf(value)]];
  });
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

/** A job with its whole report, and the plan of a retention job. */
export function Job({ id }: { readonly id: string }): VNode {
  const answer = useAnswer((signal) => get<JobDocument>(`jobs/${id}`, {}, signal), [id]);
  useRefresh(answer.value?.state === 'running' ? 2 : 30, answer);
  return (
    <Page
      title={`Job ${id}`}
      heading={
        <span class="crumbs">
          <a href="#/jobs">Jobs</a> / {id}
        </span>
      }
    >
      <Answered answer={answer} what="The job could not be read">
        {(job) => (
          <>
            <Facts
              facts={[
                ['State', <State key="state" job={job} />],
                ['Mode', job.dry_run ? 'dry run: changes nothing' : 'real'],
                ['Started', <When key="at" at={job.started_at} />],
                ['By', job.by.via === 'system' ? 'schedule' : job.by.principal],
                ['Confirmed by', job.confirmed_by?.principal],
                ['Cancelled by', job.cancelled_by?.principal],
                ['Error', job.error],
              ]}
            />
            {job.report === undefined ? undefined : (
              <Section title="Report">
                <Report job={job} />
              </Section>
            )}
            {job.kind === 'retention' && job.state !== 'running' ? (
              <Plan key={job.state} job={job} onDone={answer.reload} />
            ) : undefined}
          </>
        )}
      </Answered>
    </Page>
  );
}

/** The plan of a retention job, and a button that confirms it. */
function Plan({ job, onDone }: { readonly job: JobDocument; readonly onDone: () => void }): VNode {
  const [isConfirming, setConfirming] = useState(false);
  const answer = useAnswer((signal) => readPlan(job.id, signal), [job.id]);
  const mayConfirm = job.state === 'waiting' && session.value?.may.admin === true;
  return (
    <Section
      title="Plan"
      actions={
        mayConfirm ? (
          <button type="button" class="danger" onClick={() => setConfirming(true)}>
            Run this plan
          </button>
        ) : undefined
      }
    >
      <Answered answer={answer} what="The plan could not be read">
        {(plan) => <PlanTable plan={plan} />}
      </Answered>
      {isConfirming && answer.value !== undefined ? (
        <ConfirmPlan job={job} plan={answer.value} onClose={() => setConfirming(false)} onDone={onDone} />
      ) : undefined}
    </Section>
  );
}

/** Plans are kept in memory only. `null`: the registry has restarted since. */
async function readPlan(id: string, signal: AbortSignal): Promise<PlanDocument | null> {
  try {
    return await get<PlanDocument>(`jobs/${id}/plan`, { n: 1000 }, signal);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

function PlanTable({ plan }: { readonly plan: PlanDocument | null }): VNode {
  if (plan === null) return <Empty>The registry no longer has this plan. Start the job again.</Empty>;
  if (plan.total === 0) return <Empty>The plan deletes nothing.</Empty>;
  const { items, total } = plan;
  return (
    <>
      <p class="faint">
        {count(total, 'item')}
        {items.length < total ? `, the first ${formatNumber(items.length)} are shown` : ''}
      </p>
      <Table caption="What the plan deletes" rows={items} columns={planColumns} keyOf={nameOf} />
    </>
  );
}

function nameOf({ repository, image, tag, digest }: PlannedItemDocument): string {
  return `${repository}/${image}${tag === undefined ? `@${digest.slice(0, 19)}` : `:${tag}`}`;
}

const planColumns: readonly Column<PlannedItemDocument>[] = [
  {
    key: 'name',
    title: 'Tag or manifest',
    compare: (one, other) => compareNaturally(nameOf(one), nameOf(other)),
    cell: (item) => (
      <a href={hrefOf(`/images/${item.repository}/${item.image}`, { reference: item.tag ?? item.digest })}>
        {nameOf(item)}
      </a>
    ),
  },
  { key: 'because', title: 'Deleted because', isText: true, cell: ({ because }) => because },
  {
    key: 'used',
    title: 'Last used',
    isWide: true,
    compare: (one, other) => Date.parse(one.last_used_at) - Date.parse(other.last_used_at),
    cell: (item) => <When at={item.last_used_at} />,
  },
  {
    key: 'waiting',
    title: 'Waiting',
    isWide: true,
    cell: ({ waiting }) => (waiting ? <span class="badge warn">exceeds the maximum share of its policy</span> : ''),
  },
];

function ConfirmPlan({
  job: { id },
  plan,
  onClose,
  onDone,
}: {
  readonly job: JobDocument;
  readonly plan: PlanDocument | null;
  readonly onClose: () => void;
  readonly onDone: () => void;
}): VNode {
  const confirm = async (): Promise<void> => {
    await send('POST', `jobs/${id}/confirm`);
    announce('The plan runs');
    onClose();
    onDone();
  };
  return (
    <DialogForm
      title="Run this plan?"
      submit="Run"
      what="The plan could not be confirmed"
      isDangerous
      onSubmit={confirm}
      onClose={onClose}
    >
      <p>
        This deletes{' '}
        {plan === null
          ? 'everything that the policies find now'
          : count(plan.total, 'tag or manifest', 'tags and manifests')}
        . Deleted manifests stay in the trash until they expire. This also confirms the changed policies.
      </p>
    </DialogForm>
  );
}
