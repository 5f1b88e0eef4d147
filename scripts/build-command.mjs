// Bundles the compiled command and its packages into dist/command: it starts in less than half of the time. Runs after the
// compiler. Does nothing without Vite, like build-ui.mjs.
import { chmodSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const vite = await import('vite').catch((error) => {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
});

const shared = {
  root,
  configFile: /** @type {const} */ (false),
  logLevel: /** @type {const} */ ('warn'),
  ssr: { noExternal: /** @type {const} */ (true) },
};
const build = {
  outDir: 'dist/command',
  copyPublicDir: false,
  // Stack traces keep the names of functions.
  minify: /** @type {const} */ (false),
  target: 'node20',
};

// The program, for the loader in cli.js. CommonJS loads less of Node: `import` reads all properties of its modules, and some of
// them load an HTTP/2 client and a WebSocket.
await vite?.build({
  ...shared,
  plugins: [nativeModule(), scripts()],
  build: {
    ...build,
    ssr: `${root}/dist/src/command/commands.js`,
    emptyOutDir: true,
    license: { fileName: 'licenses.md' },
    rolldownOptions: {
      // Worker threads and other files of the package.
      external: /^#/,
      checks: { ineffectiveDynamicImport: false },
      output: {
        format: 'cjs',
        strict: true,
        entryFileNames: '[name].cjs',
        chunkFileNames: ({ name }) => `${name.replaceAll('.', '-')}.cjs`,
        comments: false,
        // Two files instead of forty.
        codeSplitting: { groups: [{ name: 'shared', minShareCount: 2 }] },
      },
    },
  },
});

await vite?.build({
  ...shared,
  build: { ...build, ssr: `${root}/dist/src/command/cli.js`, emptyOutDir: false },
});
// npm makes it executable only when it links the package: npx in the clone could not run the result of a later build.
if (vite !== undefined) chmodSync(`${root}/dist/command/cli.js`, 0o755);

/** Leaves the native part of LevelDB where npm installed it. */
function nativeModule() {
  return {
    name: 'native-module',
    enforce: /** @type {const} */ ('pre'),
    /** @param {string} id @param {string} [importer] */
    resolveId: (id, importer) =>
      id === './binding' && /\/classic-level\/[^/]*$/.test(importer ?? '')
        ? { id: 'classic-level/binding.js', external: true }
        : undefined,
  };
}

/**
 * Makes each file a function, for the loader. Escapes other characters in literals, because V8 needs two bytes for each character of
 * a file that has one of them, and the loader reads one byte as one character.
 */
function scripts() {
  return {
    name: 'scripts',
    /** @param {unknown} _options @param {Record<string, { type: string, code: string }>} bundle */
    generateBundle(_options, bundle) {
      for (const file of Object.values(bundle)) {
        if (file.type !== 'chunk') continue;
        const code = file.code.replaceAll(/[\u0080-\uffff]/g, escape);
        file.code = `(function (exports, require, module, __filename) {${code}\n});\n`;
      }
    },
  };
}

/** @param {string} unit */
function escape(unit) {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
