import { createLocator, type Position } from '../config-positions.js';
import {
  checkServeSettings,
  type ConfigFile,
  type Environment,
  type ServeFlags,
  type ServeSettings,
} from './serve-settings.js';
import { examineStart, type StartParts } from './start-parts.js';

/** A problem of a config file. Line and column are counted from 1, and absent for what is not in the file. */
export interface ConfigProblem extends Partial<Position> {
  readonly path: string;
  readonly problem: string;
}

/** The settings of a config file with what they need; `parts` is `undefined` if there are problems. */
export interface ExaminedConfig {
  readonly settings: ServeSettings;
  readonly parts: StartParts | undefined;
  /** In the order of the file, after the problems that are not in the file. */
  readonly problems: readonly ConfigProblem[];
}

/** Checks a config file and everything that it names, as a start does. It writes nothing and does not open the index. */
export async function examineConfig(
  flags: ServeFlags,
  file: ConfigFile | undefined,
  environment: Environment,
): Promise<ExaminedConfig> {
  const { value: settings, problems } = checkServeSettings(flags, file, environment);
  // Nothing is known about the options of a file that cannot be parsed.
  if (problems.some(({ path }) => isSyntaxError(path)))
    return { settings, parts: undefined, problems: locateProblems(file, problems) };
  const { parts, problems: found } = await examineStart(settings);
  const further = found
    .filter(({ path }) => !problems.some((known) => isWithin(known.path, path)))
    .map(({ path, error }) => ({ path, problem: error.message }));
  const all = [...problems, ...further];
  return { settings, parts: all.length === 0 ? parts : undefined, problems: locateProblems(file, all) };
}

/** Adds the positions of options in the file, and sorts by them. */
export function locateProblems(
  file: ConfigFile | undefined,
  problems: readonly ConfigProblem[],
): readonly ConfigProblem[] {
  const locate = file === undefined ? () => undefined : createLocator(file.text);
  return problems
    .map(({ path, problem }): ConfigProblem => ({ ...locate(path), path: isSyntaxError(path) ? '' : path, problem }))
    .toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
}

function isSyntaxError(path: string): boolean {
  return /^line [0-9]+, column [0-9]+$/.test(path);
}

/** Returns whether a path is an option or something in it. */
function isWithin(path: string, option: string): boolean {
  return path === option || path.startsWith(`${option}.`) || path.startsWith(`${option}[`);
}
