// Bundles the compiled command and its packages into dist/command: it starts in half of the time. Runs after the compiler. Does
// nothing without Vite, like build-ui.mjs.
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const vite = await import('vite').catch((error) => {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
});
await vite?.build({
  root,
  configFile: false,
  logLevel: 'warn',
  plugins: [nativeModule(), asciiOnly()],
  ssr: { noExternal: true },
  build: {
    ssr: `${root}/dist/src/command/cli.js`,
    outDir: 'dist/command',
    emptyOutDir: true,
    copyPublicDir: false,
    // Stack traces keep the names of functions.
    minify: false,
    target: 'node20',
    license: { fileName: 'licenses.md' },
    rolldownOptions: {
      // Worker threads and other files of the package.
      external: /^#/,
      checks: { ineffectiveDynamicImport: false },
      output: {
        entryFileNames: '[name].js',
        chunkFileNames: ({ name }) => `${name.replaceAll('.', '-')}.js`,
        comments: false,
        // Two files instead of forty. cli.js checks the limit of open files before it loads the rest.
        codeSplitting: {
          groups: [
            { name: 'open-file-limit', test: /open-file-limit/, priority: 1 },
            { name: 'shared', minShareCount: 2 },
          ],
        },
      },
    },
  },
});

/** Leaves the native part of LevelDB where npm installed it. */
function nativeModule() {
  return {
    name: 'native-module',
    enforce: 'pre',
    /** @param {string} id @param {string} [importer] */
    resolveId: (id, importer) =>
      id === './binding' && /\/classic-level\/[^/]*$/.test(importer ?? '')
        ? { id: 'classic-level/binding.js', external: true }
        : undefined,
  };
}

/** Escapes other characters in literals, because V8 needs two bytes for each character of a file that has one of them. */
function asciiOnly() {
  return {
    name: 'ascii-only',
    /** @param {unknown} _options @param {Record<string, { type: string, code: string }>} bundle */
    generateBundle(_options, bundle) {
      for (const file of Object.values(bundle)) {
        if (file.type === 'chunk') file.code = file.code.replaceAll(/[\u0080-\uffff]/g, escape);
      }
    },
  };
}

/** @param {string} unit */
function escape(unit) {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
