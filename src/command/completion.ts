import { Argument, type Command } from 'commander';
import type { CommandIo } from './command-io.js';

/** A command with the words that can follow it. */
interface Node {
  /** The names that lead to it, without the program's own: `users create`. */
  readonly path: readonly string[];
  readonly words: readonly { readonly word: string; readonly description: string }[];
  /** The flags that a value follows. */
  readonly valued: readonly string[];
}

const shells = ['bash', 'zsh', 'fish'] as const;

/** Adds `completion`, which prints a script that completes commands and flags in a shell. */
export function addCompletionCommand(program: Command, io: CommandIo): void {
  program
    .command('completion')
    .description('Print a script that completes commands and flags in a shell')
    .addArgument(new Argument('<shell>', 'the shell').choices(shells))
    .addHelpText(
      'after',
      [
        '\nExamples:',
        '  eval "$(artifactapi completion bash)"    in ~/.bashrc',
        '  eval "$(artifactapi completion zsh)"     in ~/.zshrc, after compinit',
        '  artifactapi completion fish | source     in ~/.config/fish/config.fish',
      ].join('\n'),
    )
    .action((shell: (typeof shells)[number]) => void io.stdout.write(formatCompletion(program, shell)));
}

/** Returns the script for a shell, made from the declared commands. */
export function formatCompletion(program: Command, shell: (typeof shells)[number]): string {
  const nodes = collectNodes(program, []);
  if (shell === 'bash') return formatBash(program.name(), nodes);
  return shell === 'zsh' ? formatZsh(program.name(), nodes) : formatFish(program.name(), nodes);
}

function collectNodes(command: Command, path: readonly string[]): readonly Node[] {
  const help = command.createHelp();
  const commands = help.visibleCommands(command).filter((one) => one.name() !== 'help' || path.length === 0);
  const options = help.visibleOptions(command);
  const words = [
    ...commands.map((one) => ({ word: one.name(), description: one.description() })),
    ...options.flatMap(({ short, long, description }) =>
      [long, short].filter((flag) => flag !== undefined).map((word) => ({ word, description })),
    ),
  ];
  const valued = options
    .filter((option) => option.required || option.optional)
    .flatMap(({ short, long }) => [long, short].filter((flag) => flag !== undefined));
  return [{ path, words, valued }, ...commands.flatMap((one) => collectNodes(one, [...path, one.name()]))];
}

/** Returns a shell function that walks the words of the line to the command that they name, as `case` labels. */
function formatBash(program: string, nodes: readonly Node[]): string {
  return `# bash completion for ${program}
_${program}() {
  local at="" word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    case "$at \${word}" in
${casesOf(nodes)}
    esac
  done
  case "$at:\${COMP_WORDS[COMP_CWORD - 1]}" in
${valuedCases(nodes, 'COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")); return')}
  esac
  case "$at" in
${nodes
  .map(({ path, words }) => {
    const list = words.map(({ word }) => word).join(' ');
    return `    ${quote(labelOf(path))}) COMPREPLY=($(compgen -W ${quote(list)} -- "\${COMP_WORDS[COMP_CWORD]}")) ;;`;
  })
  .join('\n')}
  esac
  [[ \${#COMPREPLY[@]} -gt 0 ]] || COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -F _${program} ${program}
`;
}

function formatZsh(program: string, nodes: readonly Node[]): string {
  return `#compdef ${program}
_${program}() {
  local at="" word i
  local -a described
  for ((i = 2; i < CURRENT; i++)); do
    word=\${words[i]}
    case "$at \${word}" in
${casesOf(nodes)}
    esac
  done
  case "$at:\${words[CURRENT - 1]}" in
${valuedCases(nodes, '_files; return')}
  esac
  case "$at" in
${nodes
  .map(({ path, words }) => {
    const list = words.map(({ word, description }) => quote(`${word}:${description}`)).join(' ');
    return `    ${quote(labelOf(path))}) described=(${list}) ;;`;
  })
  .join('\n')}
  esac
  _describe '${program}' described || _files
}
compdef _${program} ${program}
`;
}

function formatFish(program: string, nodes: readonly Node[]): string {
  const lines = nodes.flatMap(({ path, words, valued }) =>
    words.map(({ word, description }) => {
      const condition = quote(`__${program}_at ${quoteFish(labelOf(path))}`);
      const what = word.startsWith('--')
        ? `-l ${word.slice(2)}`
        : word.startsWith('-')
          ? `-s ${word.slice(1)}`
          : `-f -a ${word}`;
      const takesValue = valued.includes(word) ? ' -r' : '';
      return `complete -c ${program} -n ${condition} ${what}${takesValue} -d ${quoteFish(description)}`;
    }),
  );
  return `# fish completion for ${program}
function __${program}_at
  set -l at ''
  for word in (commandline -opc)[2..-1]
    switch "$at $word"
${nodes
  .filter(({ path }) => path.length > 0)
  .map(({ path }) => `      case ${quoteFish(labelOf(path))}\n        set at ${quoteFish(labelOf(path))}`)
  .join('\n')}
    end
  end
  test "$at" = "$argv[1]"
end
${lines.join('\n')}
`;
}

/** Returns the labels that move from a command to a command under it. */
function casesOf(nodes: readonly Node[]): string {
  const labels = nodes.filter(({ path }) => path.length > 0).map(({ path }) => labelOf(path));
  return labels.map((label) => `      ${quote(label)}) at=${quote(label)} ;;`).join('\n');
}

/** Returns the labels of the flags that a value follows: no flag or command is completed there. */
function valuedCases(nodes: readonly Node[], then: string): string {
  return nodes
    .filter(({ valued }) => valued.length > 0)
    .map(({ path, valued }) => `    ${valued.map((flag) => quote(`${labelOf(path)}:${flag}`)).join('|')}) ${then} ;;`)
    .join('\n');
}

/** ` users create`: each name after a space, so the program itself is the empty text. */
function labelOf(path: readonly string[]): string {
  return path.map((name) => ` ${name}`).join('');
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function quoteFish(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
