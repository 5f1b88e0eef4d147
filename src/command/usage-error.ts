/** Patterns of commander's messages, and what the command prints instead. Other messages are printed unchanged. */
const wordings: readonly (readonly [pattern: RegExp, wording: string])[] = [
  [
    /^option '(--[a-z-]+)[^']*' argument '(.*)' is invalid\. Allowed choices are (.*)\.$/s,
    '$1: "$2" must be one of $3',
  ],
  [/^option '(--[a-z-]+)[^']*' argument '(.*)' is invalid\. (.*)$/s, '$1: "$2" $3'],
  [/^option '(?:-\w, )?(--[a-z-]+) (<.*>)' argument missing$/, '$1 needs a value: $1 $2'],
  [/^required option '(.*)' not specified$/, '$1 is required'],
  [/^missing required argument '(.*)'$/, '<$1> is required'],
  [/^(unknown option|unknown command) '(.*)'$/s, '$1 "$2"'],
  [
    /^too many arguments for '(.*)'\. Expected (\d+) arguments? but got (\d+)\.$/,
    'too many arguments for "$1": expected $2, got $3',
  ],
];

/** Rewords an error message of commander in the style of the other messages of the command. */
export function formatUsageError(text: string): string {
  const [, problem = text, suggestion] = /^error: (.*?)(?:\n\(Did you mean (.*)\?\))?\n$/s.exec(text) ?? [];
  const wording = wordings.find(([pattern]) => pattern.test(problem));
  const reworded = wording === undefined ? problem : problem.replace(...wording);
  const hint = suggestion === undefined ? '' : `: did you mean ${suggestion}?`;
  return `artifactapi: ${reworded}${hint}\n`;
}
