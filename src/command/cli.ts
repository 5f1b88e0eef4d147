#!/usr/bin/env node
/** The entry point. Checks the limit of open files before it loads the rest, because Node opens many files at the same time. */
import { fileURLToPath } from 'node:url';
import { explainLoadFailure, explainLowLimit, readOpenFileLimit } from '../util/open-file-limit.js';
import { BundleLoader } from './bundle-loader.js';
import type * as Commands from './commands.js';
import { traceSources } from './stack-sources.js';

/** By then, a server has called the functions that a start needs. */
const savedAfterMs = 2000;

function fail(message: string): never {
  process.stderr.write(`artifactapi: ${message}\n`);
  process.exit(1);
}

function load(bundle: BundleLoader, limit: number | undefined): typeof Commands {
  try {
    // The build makes this file from commands.ts.
    return bundle.load('./commands.cjs') as typeof Commands;
  } catch (error) {
    const explanation = explainLoadFailure(error, limit);
    if (explanation !== undefined) fail(explanation);
    throw error;
  }
}

const limit = readOpenFileLimit();
const problem = explainLowLimit(limit);
if (problem !== undefined) fail(problem);
const folder = fileURLToPath(new URL('.', import.meta.url));
traceSources(folder);
const bundle = new BundleLoader(folder);
const { run } = load(bundle, limit);
// Other commands call few of these functions.
if (process.argv[2] === 'serve') setTimeout(() => bundle.save(), savedAfterMs).unref();
await run();
