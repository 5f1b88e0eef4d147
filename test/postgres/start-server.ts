import type { TestProject } from 'vitest/node';
import { startS3Server } from '../s3/support/start-s3-server.js';
import { startPostgres } from '../support/servers/postgres-server.js';

declare module 'vitest' {
  export interface ProvidedContext {
    postgresUrl: string;
    s3Endpoint: string;
  }
}

/** Starts the servers that all test files of the project share, each with databases and buckets of its own. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const store = await startS3Server();
  const server = await startPostgres({ max_connections: '200' });
  project.provide('s3Endpoint', store.endpoint.href);
  project.provide('postgresUrl', server.url('postgres'));
  return async () => {
    await store.stop();
    await server.stop();
  };
}
