import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

const run = promisify(execFile);
const root = path.join(import.meta.dirname, '../../..');
const page = readFileSync(path.join(root, 'docs/gateway.md'), 'utf8');
const { ModuleKind, ModuleResolutionKind } = ts;

let folder: string;
beforeAll(async () => {
  folder = await makeScratchFolder();
  await writeFile(path.join(folder, 'package.json'), '{"type":"commonjs"}');
});
afterAll(() => removeScratchFolder(folder));

describe('docs/gateway.md on module formats', () => {
  it('shows a require that works', async () => {
    const project = path.join(folder, 'required');
    await mkdir(path.join(project, 'node_modules'), { recursive: true });
    await symlink(root, path.join(project, 'node_modules/artifactapi'));
    const block = [...page.matchAll(/^```js\n(.*?)^```/gms)].find(([, text = '']) => text.includes('require('))?.[1];
    expect(block).toBeDefined();
    const file = path.join(project, 'main.cjs');
    await writeFile(file, `${block}\nconsole.log(typeof createRegistry, typeof mountRegistry);`);
    expect((await run(process.execPath, [file])).stdout).toBe('function function\n');
  });

  // The rows of the table, for the TypeScript version of this repository. package.json makes `.ts` files CommonJS here. The
  // package has its real package.json and an empty declaration, because only the resolution of the import is compared.
  it.each([
    ['node16', ModuleKind.Node16, undefined, 'a.mts', []],
    ['node16', ModuleKind.Node16, undefined, 'a.ts', [1479]],
    ['node20', ModuleKind.Node20, undefined, 'a.ts', []],
    ['nodenext', ModuleKind.NodeNext, undefined, 'a.ts', []],
    ['esnext', ModuleKind.ESNext, ModuleResolutionKind.Bundler, 'a.mts', []],
    ['preserve', ModuleKind.Preserve, ModuleResolutionKind.Bundler, 'a.mts', []],
    ['commonjs', ModuleKind.CommonJS, undefined, 'a.ts', []],
    ['commonjs', ModuleKind.CommonJS, ModuleResolutionKind.Node10, 'a.ts', [2307]],
  ])(
    'states what TypeScript reports for module %s (%i, %s) in %s',
    async (name, module, moduleResolution, file, errors) => {
      const settings = moduleResolution === undefined ? { module } : { module, moduleResolution };
      expect(page).toContain(`\`${name}\``);
      const stub = path.join(folder, 'node_modules/artifactapi');
      await mkdir(path.join(stub, 'dist/src'), { recursive: true });
      await cp(path.join(root, 'package.json'), path.join(stub, 'package.json'));
      await writeFile(path.join(stub, 'dist/src/index.d.ts'), 'export declare const createRegistry: unknown;\n');
      const source = path.join(folder, file);
      await writeFile(source, "import { createRegistry } from 'artifactapi';\nexport const make = createRegistry;\n");
      const program = ts.createProgram([source], { ...settings, noLib: true, types: [] });
      const found = program.getSemanticDiagnostics(program.getSourceFile(source));
      expect(found.map(({ code }) => code)).toEqual(errors);
    },
  );
});
