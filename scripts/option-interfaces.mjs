// Renders src/options/generated/, the interfaces of the options. In .d.ts files, TypeScript drops the comments of inferred
// types, so editors would show no descriptions: docs/decisions/0023-option-interfaces-are-generated.md.
import { toJsonSchema } from './option-schemas.mjs';

/** @typedef {import('./option-schemas.mjs').Schema} Schema */

/** The generated files with their main interface and their imports. */
const files = {
  'storage-options.ts': {
    root: 'StorageOptions',
    imports: [
      "import type { BlobStore } from '../../ports/bytes.js';",
      "import type { MetadataStore } from '../../ports/metadata/metadata.js';",
    ],
  },
  'access-options.ts': {
    root: 'AccessOptions',
    imports: [
      "import type { IncomingMessage } from 'node:http';",
      "import type { HostIdentity } from '../../protocol/settings/access-settings.js';",
    ],
  },
  'repository-options.ts': {
    root: 'RepositoryOptions',
    imports: ["import type { UpstreamCredentials } from '../../protocol/settings/upstream-credentials.js';"],
  },
  'sync-options.ts': { root: 'SyncOptions', imports: [] },
  'webhook-options.ts': { root: 'WebhookOptions', imports: [] },
  'limit-options.ts': { root: 'GarbageCollectionOptions', imports: [] },
  'registry-options.ts': {
    root: 'RegistryOptions',
    imports: [
      "import type { HookOptions } from '../../ports/hooks.js';",
      "import type { Logger } from '../../ports/runtime.js';",
      "import type { AccessOptions } from './access-options.js';",
      "import type { GarbageCollectionOptions, LimitOptions, QuotaOptions } from './limit-options.js';",
      "import type { RepositoryOptions } from './repository-options.js';",
      "import type { StorageOptions } from './storage-options.js';",
      "import type { SyncOptions } from './sync-options.js';",
      "import type { WebhookOptions } from './webhook-options.js';",
    ],
  },
};

/**
 * Renders the interfaces of the options.
 * @param {import('zod/mini').ZodMiniType} optionsSchema
 * @returns {Readonly<Record<string, string>>} The text of each file by its name.
 */
export function renderInterfaces(optionsSchema) {
  const declared = new Map();
  typeOf(toJsonSchema(optionsSchema), declared);
  const names = [...declared.keys()];
  const roots = Object.values(files).map(({ root }) => names.indexOf(root));
  return Object.fromEntries(
    Object.entries(files).map(([file, { root, imports }]) => {
      // The types that a type uses are declared right before it.
      const last = names.indexOf(root);
      const first = Math.max(-1, ...roots.filter((index) => index < last)) + 1;
      const own = names.slice(first, last + 1).map((name) => declared.get(name));
      const head = '// Written by `npm run docs` from the schemas of the options. Change the schemas, not this file.';
      return [file, [head, ...imports, '', own.toReversed().join('\n\n'), ''].join('\n')];
    }),
  );
}

/** Returns the TypeScript type of a schema. Adds the declarations of named types to `declared`. @returns {string} */
function typeOf(/** @type {Schema} */ schema, /** @type {Map<string, string>} */ declared) {
  const { typescript, title, anyOf, properties, items, additionalProperties } = schema;
  const inner = (/** @type {Schema} */ each) => typeOf(each, declared);
  if (typescript !== undefined) return typescript;
  if (anyOf !== undefined) {
    const union = anyOf.map(inner).join(' | ');
    if (title === undefined) return union;
    declared.set(title, `export type ${title} = ${union};`);
    return title;
  }
  if (properties !== undefined) {
    const fields = fieldsOf(schema, inner);
    if (title === undefined) return `{ ${fields.map(({ text }) => text).join('; ')} }`;
    const lines = fields.map(({ doc, text }) => `${renderDoc(doc, '  ')}  ${text};`);
    const own = schema.description === undefined ? '' : renderDoc([schema.description], '');
    declared.set(title, `${own}export interface ${title} {\n${lines.join('\n')}\n}`);
    return title;
  }
  if (schema.const !== undefined) return literal(schema.const);
  if (schema.enum !== undefined) return schema.enum.map(literal).join(' | ');
  if (items !== undefined) {
    const item = inner(items);
    return `readonly ${/[|]/.test(item) ? `(${item})` : item}[]`;
  }
  if (typeof additionalProperties === 'object') return `Readonly<Record<string, ${inner(additionalProperties)}>>`;
  return schema.type === 'integer' ? 'number' : (schema.type ?? 'unknown');
}

function fieldsOf(
  /** @type {Schema} */ { properties, required = [] },
  /** @type {(schema: Schema) => string} */ inner,
) {
  return Object.entries(properties).map(([name, field]) => {
    const { description, unset, default: usual, properties: group } = field;
    const isPlain = usual !== undefined && group === undefined;
    const fallback = unset?.replace(/^`(.*)`$/, '$1') ?? (isPlain ? literal(usual) : undefined);
    const doc = [
      ...(description === undefined ? [] : [description]),
      ...(fallback === undefined ? [] : [`@default ${fallback}`]),
    ];
    return { doc, text: `readonly ${name}${required.includes(name) ? '' : '?'}: ${inner(field)}` };
  });
}

/** @param {readonly string[]} paragraphs */
function renderDoc(paragraphs, /** @type {string} */ indent) {
  const lines = paragraphs.flatMap((paragraph) => wrap(paragraph.replaceAll('*/', '*\\/'), 115 - indent.length));
  if (lines.length === 0) return '';
  if (lines.length === 1) return `${indent}/** ${lines[0]} */\n`;
  return [`${indent}/**`, ...lines.map((line) => `${indent} * ${line}`), `${indent} */`, ''].join('\n');
}

/** Breaks lines, except in code spans. */
function wrap(/** @type {string} */ text, /** @type {number} */ width) {
  const glued = text.replace(/`[^`]*`/g, (code) => code.replaceAll(' ', '\0'));
  const lines = glued.match(new RegExp(`.{1,${width}}(?: |$)`, 'g')) ?? [];
  return lines.map((line) => line.trimEnd().replaceAll('\0', ' '));
}

/** Formats a value as a literal in code. */
export function literal(/** @type {unknown} */ value) {
  return typeof value === 'string' ? `'${value}'` : JSON.stringify(value);
}
