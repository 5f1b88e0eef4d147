import path from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

/** An application as its editor sees it: with the published types. */
const text = `import { createRegistry } from 'artifactapi';
createRegistry({
  storage: './data',
  limits: { maxBlobBytes: 1 },
  garbageCollection: { graceSeconds: 1 },
  repositories: [
    { name: 'a', type: 'local', sparse: true },
    { name: 'b', type: 'remote', url: 'https://b.example', tagTtlSeconds: 1 },
    { name: 'c', type: 'virtual', members: ['a'], pushTo: 'a' },
  ],
  access: {
    rules: [{ users: ['root'], allow: ['admin'] }],
    tokens: { lifetimeSeconds: 60 },
    oidc: [{ issuer: 'https://ci.example', audience: 'x', identities: [{ claims: { a: 'b' }, user: 'ci' }] }],
  },
});
`;

function openEditor(): ts.LanguageService {
  const file = path.join(import.meta.dirname, 'application.ts');
  const read = (name: string): string | undefined => (name === file ? text : ts.sys.readFile(name));
  return ts.createLanguageService({
    getScriptFileNames: () => [file],
    getScriptVersion: () => '1',
    getScriptSnapshot: (name) => {
      const content = read(name);
      return content === undefined ? undefined : ts.ScriptSnapshot.fromString(content);
    },
    getCurrentDirectory: () => import.meta.dirname,
    // Node's types take long to read, and no option has them.
    getCompilationSettings: () => ({ module: ts.ModuleKind.NodeNext, strict: true, lib: ['lib.es5.d.ts'], types: [] }),
    getDefaultLibFileName: (options) => ts.getDefaultLibFilePath(options),
    fileExists: (name) => name === file || ts.sys.fileExists(name),
    readFile: read,
    directoryExists: (name) => ts.sys.directoryExists(name),
    realpath: (name) => ts.sys.realpath?.(name) ?? name,
  });
}

describe('hovering over an option in an editor', () => {
  const editor = openEditor();
  const file = path.join(import.meta.dirname, 'application.ts');

  it.each([
    ['storage', 'The data folder'],
    ['maxBlobBytes', 'A larger one gets 413', 'no limit'],
    ['graceSeconds', 'How long unreferenced content is kept', '86400'],
    ['sparse', 'Which missing content', "'indexes'"],
    ['tagTtlSeconds', 'How long a tag is served', '300'],
    ['pushTo', 'The local member that receives pushes', 'none'],
    ['rules', 'Access is denied unless a rule allows it', '[]'],
    ['users', 'Names of users', 'none'],
    ['lifetimeSeconds', 'Lifetime of an access token', '300'],
    ['audience', 'The `aud` of its tokens'],
    ['claims', 'A pattern for each claim'],
  ])('%s shows its description and its default', (option, description, fallback?: string) => {
    const info = editor.getQuickInfoAtPosition(file, text.indexOf(` ${option}: `) + 1);
    expect(ts.displayPartsToString(info?.documentation)).toContain(description);
    const tag = info?.tags?.find(({ name }) => name === 'default');
    if (fallback === undefined) expect(tag).toBeUndefined();
    else expect(ts.displayPartsToString(tag?.text)).toContain(fallback);
  });
});
