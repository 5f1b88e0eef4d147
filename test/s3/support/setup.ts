import type { TestProject } from 'vitest/node';
import { startVersitygw } from './versitygw.js';

declare module 'vitest' {
  export interface ProvidedContext {
    s3Endpoint: string;
  }
}

/** Starts one server for all tests. Each test has a bucket of its own. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startVersitygw();
  project.provide('s3Endpoint', server.endpoint.href);
  return () => server.stop();
}
