import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/**
 * The code blocks of our Markdown. An HTML comment before a block determines its test:
 *
 * - `<!-- test: skip REASON -->`: no test; the reason is a sentence. The default of mermaid, which GitHub renders.
 * - `<!-- test: by test/system/docs/readme.test.ts -->`: the named test file runs it, and names the page.
 * - `<!-- test: config -->`, the default of yaml: accepted as a config file of `artifactapi serve`.
 * - `<!-- test: json -->`, the default of json: parses.
 * - `<!-- test: server IMAGE -->`: a module that listens on port 5000. It is started, then IMAGE is pushed and pulled.
 * - `<!-- test: run -->`: a shell script for the scene of scene.ts, run by bash in an empty folder.
 * - `<!-- test: docker -->`: the same with a real Docker engine, run by e2e-docker/documents.test.ts.
 */
export type Directive = 'skip' | 'by' | 'config' | 'json' | 'server' | 'run' | 'docker';

export interface Snippet {
  /** Relative to the root of the repository: `docs/nginx.md`. */
  readonly page: string;
  /** The line of the opening fence. */
  readonly line: number;
  readonly language: string;
  readonly text: string;
  /** Undefined if there is neither a comment nor a default. */
  readonly directive: Directive | undefined;
  /** The text after the directive: a reason, a file, the name of an image. */
  readonly argument: string;
}

export const root = path.join(import.meta.dirname, '../../..');

const directives: readonly string[] = ['skip', 'by', 'config', 'json', 'server', 'run', 'docker'] satisfies Directive[];
const defaults: Readonly<Record<string, Directive>> = { yaml: 'config', json: 'json', mermaid: 'skip' };

/** Matches a fenced block with the optional comment before it. In a list, the fence may be indented. */
const block =
  /(?:<!-- test: (?<test>(?:(?!-->)[^])+?) -->\n\s*)?^(?<indent> *)```(?<language>\w*)\n(?<text>[^]*?)^\k<indent>```$/gm;

/** Returns the code blocks of a page in order. */
export function parseSnippets(page: string, markdown: string): Snippet[] {
  return [...markdown.matchAll(block)].map((match) => {
    const { test = '', indent = '', language = '', text = '' } = match.groups ?? {};
    const [word = '', ...rest] = test.split(/\s+/);
    const before = markdown.slice(0, match.index) + match[0].slice(0, match[0].indexOf('```'));
    return {
      page,
      line: before.split('\n').length,
      language,
      text: text.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
      directive: test === '' ? defaults[language] : directives.includes(word) ? (word as Directive) : undefined,
      argument: rest.join(' '),
    };
  });
}

/** Returns the pages whose blocks are tested: `README.md`, `examples/express/README.md`, … */
export function listPages(): string[] {
  const examples = readdirSync(path.join(root, 'examples')).map((folder) => `examples/${folder}/README.md`);
  const docs = readdirSync(path.join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.md'))
    .map((file) => `docs/${file.split(path.sep).join('/')}`);
  return ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'examples/README.md', ...examples, ...docs].filter((page) =>
    existsSync(path.join(root, page)),
  );
}

/** Returns the blocks of all pages that have one of the directives. */
export function snippetsWith(...directives: readonly (Directive | undefined)[]): Snippet[] {
  return listPages()
    .flatMap((page) => parseSnippets(page, readFileSync(path.join(root, page), 'utf8')))
    .filter(({ directive }) => directives.includes(directive));
}

/** Returns the title of a block's test: `README.md:41`. */
export function placeOf({ page, line }: Snippet): string {
  return `${page}:${line}`;
}
