import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { JobDocument } from '../../../../src/protocol/documents/activity.js';
import type { ViewProps } from '../../app.tsx';
import { get, send } from '../../api.ts';
import { formatBytes, formatDuration, formatNumber } from '../../format.ts';
import { hrefOf } from '../../location.ts';
import { DialogForm } from '../../parts/dialog.tsx';
import { Icon } from '../../parts/icon.tsx';
import { Page } from '../../parts/page.tsx';
import { Answered, Empty } from '../../parts/problem.tsx';
import { announce } from '../../parts/status.tsx';
import { Table, type Column } from '../../parts/table.tsx';
import { When } from '../../parts/texts.tsx';
import { session } from '../../session.ts';
import { useAnswer, useRefresh } from '../../use-answer.ts';
import { Job, Report, State } from './job.tsx';
import { StartJob } from './job-start.tsx';

/** The running jobs and the records of finished ones, or one job. */
export function Jobs({ rest: [id] }: ViewProps): VNode {
  return id === undefined ? <JobList /> : <Job id={id} />;
}

function JobList(): VNode {
  const [isStarting, setStarting] = useState(false);
  const [cancelled, setCancelled] = useState<JobDocument | undefined>(undefined);
  const answer = useAnswer((signal) => get<{ readonly jobs: readonly JobDocument[] }>('jobs', { n: 200 }, signal), []);
  const isBusy = answer.value?.jobs.some(({ state }) => state === 'running') === true;
  useRefresh(isBusy ? 2 : 10, answer);
  const mayChange = session.value?.may.admin === true;
  return (
    <Page
      title="Jobs"
      actions={
        mayChange ? (
          <button type="button" class="primary" onClick={() => setStarting(true)}>
            <Icon name="play" />
            Start a job
          </button>
        ) : undefined
      }
    >
      <Answered answer={answer} what="The jobs could not be read">
        {({ jobs }) => <JobTable jobs={jobs} onCancel={mayChange ? setCancelled : undefined} />}
      </Answered>
      {isStarting ? <StartJob onClose={() => setStarting(false)} onDone={answer.reload} /> : undefined}
      {cancelled === undefined ? undefined : (
        <CancelJob job={cancelled} onClose={() => setCancelled(undefined)} onDone={answer.reload} />
      )}
    </Page>
  );
}

function JobTable({
  jobs,
  onCancel,
}: {
  readonly jobs: readonly JobDocument[];
  readonly onCancel: ((job: JobDocument) => void) | undefined;
}): VNode {
  if (jobs.length === 0) return <Empty>No job has run yet.</Empty>;
  return <Table caption="Jobs" rows={jobs} columns={columnsOf(onCancel)} keyOf={({ id }) => id} />;
}

function columnsOf(onCancel: ((job: JobDocument) => void) | undefined): readonly Column<JobDocument>[] {
  return [
    {
      key: 'kind',
      title: 'Job',
      cell: ({ id, kind, dry_run: isDryRun }) => (
        <>
          <a class="number" href={hrefOf(`/jobs/${id}`)}>
            {kind}
          </a>{' '}
          {isDryRun ? <span class="badge">dry run</span> : undefined}
        </>
      ),
    },
    { key: 'state', title: 'State', isText: true, cell: (job) => <StateCell job={job} /> },
    { key: 'started', title: 'Started', isText: true, cell: (job) => <When at={job.started_at} /> },
    { key: 'by', title: 'By', isWide: true, cell: ({ by }) => (by.via === 'system' ? 'schedule' : by.principal) },
    { key: 'report', title: 'Result', isWide: true, isText: true, cell: (job) => <Report job={job} isShort /> },
    ...(onCancel === undefined
      ? []
      : [
          {
            key: 'cancel',
            title: 'Action',
            isText: true,
            cell: (job: JobDocument) =>
              job.state === 'running' || job.state === 'waiting' ? (
                <button type="button" aria-label={`Cancel ${job.id}`} onClick={() => onCancel(job)}>
                  <Icon name="close" />
                  <span class="wide-only">Cancel</span>
                </button>
              ) : (
                ''
              ),
          },
        ]),
  ];
}

function StateCell({ job }: { readonly job: JobDocument }): VNode {
  return (
    <>
      <State job={job} />
      {job.state === 'running' ? <Progress job={job} /> : undefined}
    </>
  );
}

function Progress({ job: { kind, done, total, unit = '', eta_at: eta } }: { readonly job: JobDocument }): VNode | null {
  if (done === undefined) return null;
  const format = unit === 'bytes' ? formatBytes : formatNumber;
  const left = eta === undefined ? undefined : (Date.parse(eta) - Date.now()) / 1000;
  return (
    <div class="progress">
      {total === undefined ? undefined : (
        <progress value={done} max={Math.max(total, 1)} aria-label={`Progress of ${kind}`} />
      )}
      <span class="faint">
        {format(done)}
        {total === undefined ? undefined : ` of ${format(total)}`} {unit === 'bytes' ? '' : unit}
        {left === undefined || left < 0 ? undefined : `, ${formatDuration(left)} left`}
      </span>
    </div>
  );
}

function CancelJob({
  job: { id, kind, state },
  onClose,
  onDone,
}: {
  readonly job: JobDocument;
  readonly onClose: () => void;
  readonly onDone: () => void;
}): VNode {
  const cancel = async (): Promise<void> => {
    await send('DELETE', `jobs/${id}`);
    announce(`Cancelled ${kind}`);
    onClose();
    onDone();
  };
  return (
    <DialogForm
      title={`Cancel ${kind}?`}
      submit="Cancel the job"
      what="The job could not be cancelled"
      isDangerous
      onSubmit={cancel}
      onClose={onClose}
    >
      <p>
        {state === 'waiting'
          ? 'Its plan is not carried out.'
          : 'It stops at the next safe point. The work that it has done is kept.'}
      </p>
    </DialogForm>
  );
}
