import { setTimeout as sleep } from 'node:timers/promises';
import { formatBytes } from '../archives/progress.js';
import { CommandError, type CommandIo } from '../command-io.js';
import type { ApiClient, Document } from './api-client.js';
import { formatTime } from './format.js';

/** How often the progress of a job is asked for. */
const pollMs = 500;
const maxBarWidth = 30;

/** Waits until a job has ended or waits for a confirmation, and shows its progress on a terminal. */
export async function waitForJob(client: ApiClient, id: string, io: CommandIo): Promise<Document> {
  try {
    for (let job = await getJob(client, id); ; job = await getJob(client, id)) {
      if (job['state'] !== 'running') return job;
      draw(job, io);
      await sleep(pollMs);
    }
  } finally {
    clear(io);
  }
}

/** Shows the progress of the running job of a kind on a terminal until the work is done. */
export async function showJob<T>(client: ApiClient, kind: string, io: CommandIo, work: Promise<T>): Promise<T> {
  if (io.stderr.isTTY !== true) return work;
  const done = work.then(ignore, ignore);
  const poll = async (): Promise<boolean> => {
    const isDone = await Promise.race([done.then(() => true), sleep(pollMs, false)]);
    if (isDone) return true;
    // The progress is not the result: the work goes on without it.
    const job = await findRunning(client, kind).catch(() => undefined);
    if (job !== undefined) draw(job, io);
    return false;
  };
  while (!(await poll()));
  clear(io);
  return work;
}

/** Creates the error for a job that did not succeed; `undefined` for one that did, or that waits. */
export function failureOf({ id, state, error }: Document): CommandError | undefined {
  if (state === 'succeeded' || state === 'waiting') return undefined;
  if (state === 'partly')
    return new CommandError(`job ${String(id)} was only partly done: see its report`, { exitCode: 3 });
  const reason = typeof error === 'string' ? `: ${error}` : '';
  return new CommandError(`job ${String(id)} ${state === 'cancelled' ? 'was cancelled' : 'failed'}${reason}`);
}

/** Returns `[####      ]  40 %  400 of 1000 blobs, done in 3 min`, in one line of the terminal. */
export function formatJobProgress({ kind, done, total, unit, eta_at: eta }: Document, now: number): string {
  if (typeof done !== 'number') return String(kind);
  const amount = (value: number): string => (unit === 'bytes' ? formatBytes(value) : `${value}`);
  const counted = unit === 'bytes' ? '' : ` ${String(unit)}`;
  if (typeof total !== 'number' || total === 0) return `${String(kind)}  ${amount(done)}${counted}`;
  const part = Math.min(done / total, 1);
  const bar = '#'.repeat(Math.round(part * maxBarWidth)).padEnd(maxBarWidth);
  const end = typeof eta === 'string' ? `, done ${formatTime(eta, { now, relative: true })}` : '';
  return `[${bar}] ${String(Math.floor(part * 100)).padStart(3)} %  ${amount(done)} of ${amount(total)}${counted}${end}`;
}

function getJob(client: ApiClient, job: string): Promise<Document> {
  return client.request('job.get', { params: { job } });
}

async function findRunning(client: ApiClient, kind: string): Promise<Document | undefined> {
  for await (const job of client.list('job.list', 'jobs', { query: { kind, n: 1 } }))
    return job['state'] === 'running' ? job : undefined;
  return undefined;
}

/** Draws over the line before: returns to its start and clears the rest of a longer text. */
function draw(job: Document, { stderr, now }: CommandIo): void {
  if (stderr.isTTY === true) stderr.write(`\r${formatJobProgress(job, now()).slice(0, stderr.columns ?? 80)}\u001b[K`);
}

function clear({ stderr }: CommandIo): void {
  if (stderr.isTTY === true) stderr.write('\r\u001b[K');
}

function ignore(): void {}
