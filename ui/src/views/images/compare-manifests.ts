import type { ConfigDocument, ManifestDocument } from '../../../../src/protocol/documents/manifests.js';
import { parseEnvironment } from './environment.ts';

/** The place of an item: in both manifests, or only in one. */
export type Side = 'both' | 'first' | 'second';

/** A layer of one or both manifests. */
export interface ComparedLayer {
  readonly digest: string;
  readonly side: Side;
  readonly bytes: number;
  readonly createdBy: string | undefined;
}

/** Returns the layers of two manifests, each once: first those of both, then those of the first, then of the second. */
export function compareLayers(
  first: Pick<ManifestDocument, 'layers'>,
  second: Pick<ManifestDocument, 'layers'>,
): readonly ComparedLayer[] {
  const found = new Map<string, ComparedLayer>();
  const inSecond = new Set(second.layers.map(({ digest }) => digest));
  for (const layer of [...first.layers, ...second.layers]) {
    const { digest, size_bytes: bytes, created_by: createdBy } = layer;
    const isFirst = first.layers.includes(layer);
    const side: Side = !isFirst ? 'second' : inSecond.has(digest) ? 'both' : 'first';
    if (!found.has(digest)) found.set(digest, { digest, side, bytes, createdBy });
  }
  const order: readonly Side[] = ['both', 'first', 'second'];
  return order.flatMap((side) => [...found.values()].filter((layer) => layer.side === side));
}

/** A platform of one or both manifests. */
export interface ComparedPlatform {
  readonly platform: string;
  readonly first: PlatformPart | undefined;
  readonly second: PlatformPart | undefined;
}

type PlatformPart = ManifestDocument['platforms'][number];

/** Returns the platforms of two manifests. */
export function comparePlatforms(
  first: Pick<ManifestDocument, 'platforms'>,
  second: Pick<ManifestDocument, 'platforms'>,
): readonly ComparedPlatform[] {
  const names = new Set([...first.platforms, ...second.platforms].map(({ platform }) => platform));
  const of = (manifest: Pick<ManifestDocument, 'platforms'>, name: string): PlatformPart | undefined =>
    manifest.platforms.find(({ platform }) => platform === name);
  return [...names].map((platform) => ({ platform, first: of(first, platform), second: of(second, platform) }));
}

/** A value that differs. `undefined` where it is absent. */
export interface Difference {
  readonly name: string;
  readonly first: string | undefined;
  readonly second: string | undefined;
}

type Texts = readonly (readonly [name: string, value: string])[];

/** Returns the texts that differ, by name in the order of the first. */
export function compareTexts(first: Texts, second: Texts): readonly Difference[] {
  const [left, right] = [new Map(first), new Map(second)];
  return [...new Set([...left.keys(), ...right.keys()])]
    .map((name) => ({ name, first: left.get(name), second: right.get(name) }))
    .filter((row) => row.first !== row.second);
}

/** Returns the settings of two configs that differ, except their variables and labels. */
export function compareConfigs(
  first: ConfigDocument | undefined,
  second: ConfigDocument | undefined,
): readonly Difference[] {
  return compareTexts(settingsOf(first), settingsOf(second));
}

/** Returns the environment variables of two configs that differ. */
export function compareEnvironments(
  first: ConfigDocument | undefined,
  second: ConfigDocument | undefined,
): readonly Difference[] {
  return compareTexts(parseEnvironment(first?.env ?? []), parseEnvironment(second?.env ?? []));
}

function settingsOf(config: ConfigDocument | undefined): Texts {
  const listOf = (list: readonly string[] | undefined): string | undefined => list && JSON.stringify(list);
  const settings: readonly (readonly [string, string | undefined])[] = [
    ['Platform', config?.platform],
    ['Created', config?.created],
    ['Author', config?.author],
    ['Entrypoint', listOf(config?.entrypoint)],
    ['Command', listOf(config?.cmd)],
    ['User', config?.user],
    ['Working directory', config?.working_dir],
    ['Ports', config?.exposed_ports?.join(', ')],
    ['Volumes', config?.volumes?.join(', ')],
    ['Stop signal', config?.stop_signal],
  ];
  return settings.flatMap(([name, value]) => (value === undefined || value === '' ? [] : [[name, value] as const]));
}
