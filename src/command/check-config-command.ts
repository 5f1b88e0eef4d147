import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { createLocator } from './config-positions.js';
import { addServeFlags } from './serve/serve-flags.js';
import { checkServeSettings, type ConfigFile, type Environment, type ServeFlags } from './serve/serve-settings.js';
import { examineStart } from './serve/start-parts.js';

/** A problem of a config file. Line and column are counted from 1, and absent for what is not in the file. */
export interface ConfigProblem {
  readonly line?: number;
  readonly column?: number;
  readonly path: string;
  readonly problem: string;
}

/** The document that `--json` prints. */
interface ConfigReport {
  readonly file: string;
  readonly ok: boolean;
  readonly problems: readonly ConfigProblem[];
}

/** Adds `check-config`, which checks a config file as `serve` does, and changes nothing. */
export function addCheckConfigCommand(program: Command): void {
  const command = program
    .command('check-config')
    .description('Check a config file as serve would, without starting; pass the same flags')
    .argument('<file>', 'config file in YAML or JSON');
  addServeFlags(command, false)
    .option('--json', 'print one JSON document')
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
    .action(checkConfig);
}

async function checkConfig(file: string, { json, ...flags }: ServeFlags & { readonly json?: boolean }): Promise<void> {
  const print = (report: ConfigReport): void =>
    void process.stdout.write(json === true ? `${JSON.stringify(report)}\n` : formatReport(report));
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const problem = `cannot read the config file: ${error instanceof Error ? error.message : String(error)}`;
    if (json === true) print({ file, ok: false, problems: [{ path: '', problem }] });
    else process.stderr.write(`artifactapi: ${problem}\n`);
    process.exitCode = 2;
    return;
  }
  const problems = await findConfigProblems(flags, { path: file, text }, process.env);
  print({ file, ok: problems.length === 0, problems });
  if (problems.length > 0) process.exitCode = 1;
}

/** Returns all problems of a config file in the order of the file, first those that have no place in it. */
export async function findConfigProblems(
  flags: ServeFlags,
  file: ConfigFile,
  environment: Environment,
): Promise<readonly ConfigProblem[]> {
  const { value, problems } = checkServeSettings(flags, file, environment);
  const isUnparsed = problems.some(({ path }) => /^line [0-9]/.test(path));
  // Nothing is known about the options of a file that cannot be parsed.
  const { problems: further } = isUnparsed ? { problems: [] } : await examineStart(value);
  const isReported = (path: string): boolean => problems.some((one) => isWithin(one.path, path));
  const all = [
    ...problems,
    ...further.filter(({ path }) => !isReported(path)).map(({ path, error }) => ({ path, problem: error.message })),
  ];
  const locate = createLocator(file.text);
  return all
    .map(({ path, problem }): ConfigProblem => {
      const shown = /^line [0-9]/.test(path) ? '' : path;
      return { ...locate(path), path: shown, problem };
    })
    .toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
}

/** Returns whether a path is an option or something in it. */
function isWithin(path: string, option: string): boolean {
  return path === option || path.startsWith(`${option}.`) || path.startsWith(`${option}[`);
}

function formatReport({ file, ok, problems }: ConfigReport): string {
  if (ok) return `${file}: no problems\n`;
  const lines = problems.map(({ line, column, path, problem }) => {
    const place = line === undefined ? file : `${file}:${line}:${column ?? 1}`;
    return `${place}: ${path === '' ? '' : `${path}: `}${problem}\n`;
  });
  return lines.join('');
}
