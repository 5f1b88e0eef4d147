#!/usr/bin/env node
/** The entry point. Checks the limit of open files before it loads the rest, because Node opens many files at the same time. */
import { explainLoadFailure, explainLowLimit, readOpenFileLimit } from '../util/open-file-limit.js';

function fail(message: string): never {
  process.stderr.write(`artifactapi: ${message}\n`);
  process.exit(1);
}

const limit = readOpenFileLimit();
const problem = explainLowLimit(limit);
if (problem !== undefined) fail(problem);
const { run } = await import('./commands.js').catch((error: unknown): never => {
  const explanation = explainLoadFailure(error, limit);
  if (explanation !== undefined) fail(explanation);
  throw error;
});
await run();
