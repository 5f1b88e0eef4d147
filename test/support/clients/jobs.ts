import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer, Client } from './client.js';

/** A job as the API shows it. */
export interface JobDocument {
  readonly id: string;
  readonly state: string;
  readonly report?: Readonly<Record<string, unknown>>;
  readonly error?: string;
}

/** Asks for a job. `document` has its kind and parameters. */
export function postJob(client: Client, document: object): Promise<Answer> {
  return client.post('/api/v1/jobs', {
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(document),
  });
}

/** Starts a job and returns it once it has ended. */
export async function runJob(client: Client, document: object): Promise<JobDocument> {
  const answer = await postJob(client, document);
  if (answer.status !== 202) throw new Error(`${answer.status}: ${answer.body.toString()}`);
  // The API answers with a job.
  let job = answer.json() as JobDocument;
  while (job.state === 'running') {
    await sleep(5);
    job = (await client.get(`/api/v1/jobs/${job.id}`)).json() as JobDocument;
  }
  return job;
}
