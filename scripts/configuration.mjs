// Renders docs/configuration.md and docs/config.schema.json from the flags and the schemas of the options and of the `server`
// section.
import { literal } from './option-interfaces.mjs';
import { mapSchemas, toJsonSchema, withoutCode } from './option-schemas.mjs';

/**
 * @typedef {import('./option-schemas.mjs').Schema} Schema
 * @typedef {object} Sources
 * @property {import('zod/mini').ZodMiniType} optionsSchema
 * @property {import('zod/mini').ZodMiniType} serverSchema
 * @property {readonly Flag[]} serveFlags
 * @property {Readonly<Record<string, number>>} secondsPerUnit
 * @property {Readonly<Record<string, number>>} bytesPerUnit
 *
 * @typedef {{ flags: string, description: string, argChoices?: readonly string[] }} Flag
 */

/**
 * Replaces the tables of docs/configuration.md between `<!-- table: NAME -->` and `<!-- end -->`.
 * @param {string} page
 * @param {Sources} sources
 * @returns {string}
 */
export function renderConfiguration(page, sources) {
  const tables = describeTables(sources);
  const names = new Set();
  const rendered = page.replace(/^<!-- table: ([^>\n]+) -->\n.*?^<!-- end -->$/gms, (_, /** @type {string} */ name) => {
    if (tables[name] === undefined) throw new Error(`unknown table "${name}" in docs/configuration.md`);
    names.add(name);
    return [`<!-- table: ${name} -->`, '', ...tables[name], '', '<!-- end -->'].join('\n');
  });
  const missing = Object.keys(tables).filter((name) => !names.has(name));
  if (missing.length > 0) throw new Error(`docs/configuration.md lacks the tables ${missing.join(', ')}`);
  return rendered;
}

/** @returns {Readonly<Record<string, readonly string[]>>} */
function describeTables(/** @type {Sources} */ { optionsSchema, serverSchema, serveFlags }) {
  const { properties, required } = toJsonSchema(optionsSchema);
  const {
    storage,
    repositories,
    access,
    limits,
    garbageCollection,
    backups,
    imports,
    quotas,
    retention,
    audit,
    sync,
    webhooks,
  } = properties;
  const [local, remote, virtual] = repositories.items.anyOf;
  const common = Object.keys(local.properties).filter(
    (name) => name in remote.properties && name in virtual.properties,
  );
  const own = (/** @type {Schema} */ type) => pick(type, (name) => !common.includes(name));
  const repository = (/** @type {Schema} */ type) => renderOptions(type, 'repositories[].');
  return {
    options: renderOptions({ properties, required }, '', 0),
    storage: renderOptions(
      storage.anyOf.find((/** @type {Schema} */ each) => each.properties),
      'storage.',
    ),
    limits: renderOptions(limits, 'limits.'),
    garbageCollection: renderOptions(garbageCollection, 'garbageCollection.'),
    backups: renderOptions(backups, 'backups.'),
    imports: renderOptions(imports, 'imports.'),
    quotas: renderOptions(quotas.items, 'quotas[].'),
    retention: renderOptions(retention, 'retention.'),
    audit: renderOptions(audit, 'audit.'),
    sync: renderOptions(sync.items, 'sync[].'),
    webhooks: renderOptions(webhooks.items, 'webhooks[].'),
    repositories: repository(pick(local, (name) => common.includes(name))),
    'repositories: local': repository(own(local)),
    'repositories: remote': repository(own(remote)),
    'repositories: virtual': repository(own(virtual)),
    access: renderOptions(
      access.anyOf.find((/** @type {Schema} */ each) => each.properties),
      'access.',
    ),
    server: renderOptions(toJsonSchema(serverSchema), 'server.'),
    flags: renderTable('Flag', serveFlags.map(describeFlag)),
  };
}

function pick(/** @type {Schema} */ schema, /** @type {(name: string) => boolean} */ isIncluded) {
  return {
    ...schema,
    properties: Object.fromEntries(Object.entries(schema.properties).filter(([name]) => isIncluded(name))),
  };
}

/** Renders options as a table. Nested options follow their parent, up to `depth` levels. */
function renderOptions(/** @type {Schema} */ schema, /** @type {string} */ prefix, depth = 3) {
  return renderTable('Option', describeOptions(schema, prefix, depth));
}

/** @returns {string[][]} */
function describeOptions(
  /** @type {Schema} */ { properties, required = [] },
  /** @type {string} */ prefix,
  /** @type {number} */ depth,
) {
  return Object.entries(properties).flatMap(([name, option]) => {
    const path = prefix + name;
    const fallback = required.includes(name) ? 'required' : describeDefault(path, option);
    const row = [`\`${path}\``, fallback, option.description ?? ''];
    if (depth === 0) return [row];
    const [outer, inner] = option.items === undefined ? [option, '.'] : [option.items, '[].'];
    // Of alternatives, such as a name or an object, each object has rows. None of several is required.
    const groups = (outer.anyOf ?? [outer]).filter(isDescribed);
    const rows = groups.flatMap((/** @type {Schema} */ group) => {
      const required = groups.length > 1 ? [] : group.required;
      return describeOptions({ ...group, required }, path + inner, depth - 1);
    });
    return [row, ...rows];
  });
}

/** Returns whether a schema is an object whose options have descriptions. */
function isDescribed(/** @type {Schema} */ { properties = {} }) {
  return Object.values(properties)[0]?.description !== undefined;
}

function describeDefault(/** @type {string} */ path, /** @type {Schema} */ { unset, default: usual, properties }) {
  if (unset !== undefined) return unset;
  if (usual === undefined || properties !== undefined) return '';
  const unit = typeof usual === 'number' ? describeQuantity(path, usual) : undefined;
  return `\`${literal(usual)}\`${unit === undefined ? '' : ` (${unit})`}`;
}

/** Formats a large number with a unit that configuration files accept. */
function describeQuantity(/** @type {string} */ path, /** @type {number} */ value) {
  const units = path.endsWith('Seconds')
    ? { d: 86_400, h: 3600, m: 60 }
    : path.endsWith('Bytes')
      ? { MiB: 2 ** 20 }
      : {};
  const found = Object.entries(units).find(([, factor]) => value >= factor && value % factor === 0);
  return found && `${value / found[1]}${found[0]}`;
}

function describeFlag(/** @type {Flag} */ { flags, description, argChoices = [] }) {
  const [, text = description, fallback] = /^(.*) \(default: (.*)\)$/.exec(description) ?? [];
  const choices = argChoices.length === 0 ? '' : `: ${argChoices.map((choice) => `\`${choice}\``).join(', ')}`;
  const sentence = text.charAt(0).toUpperCase() + text.slice(1);
  return [`\`${flags}\``, fallback === undefined ? '' : `\`${fallback}\``, sentence + choices];
}

/** @returns {string[]} */
function renderTable(/** @type {string} */ first, /** @type {readonly (readonly string[])[]} */ rows) {
  const plain = (/** @type {string} */ cell) => cell.replaceAll('|', '\\|').replace(/\.$/, '');
  return [[first, 'Default', 'Description'], ['---', '---', '---'], ...rows].map(
    (cells) => `| ${cells.map(plain).join(' | ')} |`,
  );
}

const variablePattern = '\\$\\{';
/**
 * Renders docs/config.schema.json, the JSON Schema 2020-12 of a configuration file, for editors.
 * @param {Sources} sources
 * @returns {string}
 */
export function renderConfigSchema({ optionsSchema, serverSchema, secondsPerUnit, bytesPerUnit }) {
  const units = { Seconds: patternOf(secondsPerUnit), Bytes: patternOf(bytesPerUnit) };
  const options = withoutCode(toJsonSchema(optionsSchema));
  const server = { ...withoutCode(toJsonSchema(serverSchema)), description: 'How `artifactapi serve` listens.' };
  const { storage, repositories, ...rest } = options.properties;
  const schema = {
    ...options,
    title: 'Configuration of artifactapi',
    description:
      'The configuration file of `artifactapi serve`: the options of `createRegistry` and a `server` section.',
    properties: {
      server,
      storage: { ...storage, default: './data' },
      repositories: { ...repositories, default: [{ name: 'local', type: 'local' }] },
      ...rest,
    },
    required: [],
  };
  const { required: _required, ...accepted } = mapSchemas(schema, (each) => acceptTexts(each, units));
  return `${JSON.stringify({ $schema: 'https://json-schema.org/draft/2020-12/schema', ...accepted }, null, 2)}\n`;
}

function patternOf(/** @type {Readonly<Record<string, number>>} */ units) {
  return `^[0-9]+(\\.[0-9]+)? ?(${Object.keys(units).join('|')})$`;
}

/** Extends a schema by what only files may contain: variables in place of values, and quantities with a unit. */
function acceptTexts(/** @type {Schema} */ schema, /** @type {Record<string, string>} */ units) {
  const { description, default: usual, ...own } = schema;
  const isFixed =
    ['number', 'integer', 'boolean'].includes(own.type) || own.pattern !== undefined || own.enum !== undefined;
  if (isFixed) {
    const anyOf = [own, { type: 'string', pattern: variablePattern }];
    return { ...(description && { description }), ...(usual !== undefined && { default: usual }), anyOf };
  }
  for (const [name, option] of Object.entries(schema.properties ?? {})) {
    const unit = name.endsWith('Seconds') ? units.Seconds : /Bytes(PerSecond)?$/.test(name) ? units.Bytes : undefined;
    if (unit !== undefined) option.anyOf.push({ type: 'string', pattern: unit });
  }
  return schema;
}
