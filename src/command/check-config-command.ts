import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { examineConfig, type ConfigProblem } from './serve/examine-config.js';
import { addServeFlags } from './serve/serve-flags.js';
import type { ServeFlags } from './serve/serve-settings.js';

type CheckFlags = ServeFlags & { readonly json?: boolean };

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
    .argument('[file]', 'config file in YAML or JSON, instead of --config');
  addServeFlags(command)
    .option('--json', 'print one JSON document')
    .action((argument: string | undefined, { config, ...flags }: CheckFlags) => {
      const file = argument ?? config;
      if (file !== undefined && (config ?? file) === file) return checkConfig(file, flags);
      return command.error('error: name one config file, as an argument or with --config', { exitCode: 2 });
    });
}

async function checkConfig(file: string, { json, ...flags }: CheckFlags): Promise<void> {
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
  const { problems } = await examineConfig(flags, { path: file, text }, process.env);
  print({ file, ok: problems.length === 0, problems });
  if (problems.length > 0) process.exitCode = 1;
}

function formatReport({ file, ok, problems }: ConfigReport): string {
  if (ok) return `${file}: no problems\n`;
  const lines = problems.map(({ line, column, path, problem }) => {
    const place = line === undefined ? file : `${file}:${line}:${column ?? 1}`;
    return `${place}: ${path === '' ? '' : `${path}: `}${problem}\n`;
  });
  return lines.join('');
}
