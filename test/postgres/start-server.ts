import type { TestProject } from 'vitest/node';
import { startS3Server } from '../s3/support/start-s3-server.js';
import { startPgbouncer } from '../support/servers/pgbouncer.js';
import { startPostgres } from '../support/servers/postgres-server.js';

declare module 'vitest' {
  export interface ProvidedContext {
    postgresUrl: string;
    /** The folder of the pooler's socket; empty without one. */
    poolerFolder: string;
    s3Endpoint: string;
  }
}

/**
 * Starts the servers that all test files of the project share, each with databases and buckets of its own. With
 * `POSTGRES_POOLER=pgbouncer`, stores reach PostgreSQL through a pooler (Debian's pgbouncer).
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const store = await startS3Server();
  const server = await startPostgres({ max_connections: '200' });
  const socket = new URL(server.url()).searchParams.get('host') ?? '';
  const pooler = process.env['POSTGRES_POOLER'] === 'pgbouncer' ? await startPgbouncer(socket) : undefined;
  project.provide('poolerFolder', pooler?.folder ?? '');
  project.provide('s3Endpoint', store.endpoint.href);
  project.provide('postgresUrl', server.url('postgres'));
  return async () => {
    await store.stop();
    await pooler?.stop();
    await server.stop();
  };
}
