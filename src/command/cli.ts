#!/usr/bin/env node
/** The entry point. Checks the limit of open files before it loads the rest, because Node opens many files at the same time. */
import module from 'node:module';
import { fileURLToPath } from 'node:url';
import { explainLoadFailure, explainLowLimit, readOpenFileLimit } from '../util/open-file-limit.js';

function fail(message: string): never {
  process.stderr.write(`artifactapi: ${message}\n`);
  process.exit(1);
}

const limit = readOpenFileLimit();
const problem = explainLowLimit(limit);
if (problem !== undefined) fail(problem);
// From Node 22.1. The folder is beside the program, because anyone who can write there can change the program too. If Node
// cannot write to it, it compiles the program at each start.
const { enableCompileCache } = module as { readonly enableCompileCache?: (folder: string) => unknown };
enableCompileCache?.(fileURLToPath(new URL('compile-cache', import.meta.url)));
const { run } = await import('./commands.js').catch((error: unknown): never => {
  const explanation = explainLoadFailure(error, limit);
  if (explanation !== undefined) fail(explanation);
  throw error;
});
await run();
