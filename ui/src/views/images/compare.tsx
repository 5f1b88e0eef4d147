import type { ComponentChildren, VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { ManifestDocument } from '../../../../src/protocol/documents/manifests.js';
import { get, imagePath } from '../../api.ts';
import {
  compareConfigs,
  compareEnvironments,
  compareLayers,
  comparePlatforms,
  compareTexts,
  type ComparedLayer,
  type ComparedPlatform,
  type Difference,
  type Side,
} from './compare-manifests.ts';
import { isSecretName } from './environment.ts';
import { count, formatBytes } from '../../format.ts';
import { imageHref, type ImageName } from '../../image-links.ts';
import { Icon } from '../../parts/icon.tsx';
import { isolate } from '../../parts/isolate.tsx';
import { Page, Section } from '../../parts/page.tsx';
import { Answered } from '../../parts/problem.tsx';
import { Table } from '../../parts/table.tsx';
import { Bytes, Digest } from '../../parts/texts.tsx';
import { useAnswer } from '../../use-answer.ts';
import { Crumbs } from './tags.tsx';

interface CompareProps {
  readonly name: ImageName;
  /** Tags or digests. */
  readonly first: string;
  readonly second: string;
}

interface PairProps extends CompareProps {
  readonly manifests: readonly [first: ManifestDocument, second: ManifestDocument];
}

/** The differences between two manifests of an image, and the bytes that an update from the first to the second transfers. */
export function Compare({ name, first, second }: CompareProps): VNode {
  const answer = useAnswer(
    (signal) => {
      const read = (reference: string): Promise<ManifestDocument> =>
        get(`${imagePath(name.repository, name.image)}/manifest`, { reference }, signal);
      return Promise.all([read(first), read(second)]);
    },
    [name, first, second],
  );
  return (
    <Page
      title={`Compare ${shortOf(first)} with ${shortOf(second)}`}
      heading={
        <>
          Compare <Crumbs name={name} isLinked /> <Named name={name} reference={first} /> with{' '}
          <Named name={name} reference={second} />
        </>
      }
      actions={
        <a class="button" href={imageHref(name, { reference: second, with: first })}>
          <Icon name="sort" /> Swap
        </a>
      }
    >
      <Answered answer={answer} what="The images could not be read">
        {(manifests) => <Differences {...{ name, first, second, manifests }} />}
      </Answered>
    </Page>
  );
}

const maxTitle = 24;

/** Digests and some tags are long: their start identifies them in a sentence. */
function shortOf(reference: string): string {
  if (reference.includes(':')) return reference.slice(0, 19);
  return reference.length > maxTitle ? `${reference.slice(0, maxTitle)}…` : reference;
}

function Named({ name, reference }: { readonly name: ImageName; readonly reference: string }): VNode {
  return (
    <a href={imageHref(name, { reference })}>
      <bdi>{shortOf(reference)}</bdi>
    </a>
  );
}

function Differences(props: PairProps): VNode {
  const { manifests } = props;
  const [first, second] = manifests;
  const configs = [first.config, second.config] as const;
  const titles = [shortOf(props.first), shortOf(props.second)] as const;
  if (first.digest === second.digest) return <p class="note good">Both are the same manifest.</p>;
  const isIndex = manifests.some(({ type }) => type === 'index');
  const textsOf = (texts: Readonly<Record<string, string>> | undefined) => Object.entries(texts ?? {});
  return (
    <>
      <Sizes {...props} />
      {isIndex ? <Platforms {...props} /> : <Layers {...props} />}
      <Changes title="Config" titles={titles} rows={compareConfigs(...configs)} />
      <Environment titles={titles} rows={compareEnvironments(...configs)} />
      <Changes
        title="Labels"
        titles={titles}
        rows={compareTexts(textsOf(configs[0]?.labels), textsOf(configs[1]?.labels))}
      />
      <Changes
        title="Annotations"
        titles={titles}
        rows={compareTexts(textsOf(first.annotations), textsOf(second.annotations))}
      />
    </>
  );
}

function Sizes({ first, second, manifests: [one, other] }: PairProps): VNode {
  const change = other.size_bytes - one.size_bytes;
  return (
    <p class="summary">
      {shortOf(first)} has {formatBytes(one.size_bytes)}, {shortOf(second)} has {formatBytes(other.size_bytes)}
      {change === 0 ? '' : `: ${formatBytes(Math.abs(change))} ${change > 0 ? 'more' : 'less'}`}.
    </p>
  );
}

function Layers({ first, second, manifests }: PairProps): VNode {
  const layers = compareLayers(...manifests);
  const places: Readonly<Record<Side, string>> = {
    both: 'in both',
    first: `only in ${shortOf(first)}`,
    second: `only in ${shortOf(second)}`,
  };
  return (
    <Section title="Layers">
      <ul class="plain">
        {(['both', 'first', 'second'] as const).map((side) => (
          <li key={side}>
            {describe(layers.filter((layer) => layer.side === side))} {places[side]}
          </li>
        ))}
      </ul>
      <p class="compared">
        A client that has {shortOf(first)} downloads {formatBytes(bytesOf(layers, 'second'))} of layers for{' '}
        {shortOf(second)}.
      </p>
      <Table
        caption="Layers of both"
        rows={layers}
        keyOf={({ digest }) => digest}
        columns={[
          {
            key: 'created',
            title: 'Created by',
            isText: true,
            cell: ({ createdBy, digest }) => <code class="command">{isolate(createdBy ?? digest)}</code>,
          },
          { key: 'side', title: 'Where', isText: true, cell: ({ side }) => <Where side={side} text={places[side]} /> },
          { key: 'digest', title: 'Digest', isWide: true, cell: ({ digest }) => <Digest value={digest} /> },
          { key: 'size', title: 'Size', isNumber: true, cell: ({ bytes }) => <Bytes value={bytes} /> },
        ]}
      />
    </Section>
  );
}

function describe(layers: readonly ComparedLayer[]): string {
  return `${count(layers.length, 'layer')}, ${formatBytes(layers.reduce((sum, { bytes }) => sum + bytes, 0))}`;
}

function bytesOf(layers: readonly ComparedLayer[], side: Side): number {
  return layers.reduce((sum, layer) => sum + (layer.side === side ? layer.bytes : 0), 0);
}

function Where({ side, text }: { readonly side: Side; readonly text: string }): VNode {
  return side === 'both' ? <span class="faint">{text}</span> : <span>{text}</span>;
}

function Platforms({ name, first, second, manifests }: PairProps): VNode {
  const sizeOf = (part: ComparedPlatform['first']): ComponentChildren => {
    if (part === undefined) return <span class="faint">absent</span>;
    return part.stored ? <Bytes value={part.size_bytes} /> : 'not stored here';
  };
  return (
    <Section title="Platforms">
      <Table
        caption="Platforms of both"
        rows={comparePlatforms(...manifests)}
        keyOf={({ platform }) => platform}
        columns={[
          { key: 'platform', title: 'Platform', cell: ({ platform }) => platform },
          { key: 'first', title: shortOf(first), isNumber: true, cell: (row) => sizeOf(row.first) },
          { key: 'second', title: shortOf(second), isNumber: true, cell: (row) => sizeOf(row.second) },
          { key: 'change', title: 'Change', cell: (row) => <PlatformChange name={name} row={row} /> },
        ]}
      />
    </Section>
  );
}

function PlatformChange({ name, row }: { readonly name: ImageName; readonly row: ComparedPlatform }): VNode {
  const { first, second, platform } = row;
  if (first === undefined) return <>added</>;
  if (second === undefined) return <>removed</>;
  if (first.digest === second.digest) return <span class="faint">same</span>;
  if (!first.stored || !second.stored) return <>other manifest</>;
  return (
    <a href={imageHref(name, { reference: first.digest, with: second.digest })} aria-label={`Compare ${platform}`}>
      Compare
    </a>
  );
}

interface ChangesProps {
  readonly title: string;
  /** The names of the two manifests. */
  readonly titles: readonly [first: string, second: string];
  readonly rows: readonly Difference[];
  readonly actions?: ComponentChildren;
  /** Whether a value is not shown. */
  readonly isHidden?: (name: string) => boolean;
}

/** Variables whose names look like those of secrets are shown only on request: screens are shared. */
function Environment(props: Omit<ChangesProps, 'title'>): VNode {
  const [isShown, setShown] = useState(false);
  return (
    <Changes
      {...props}
      title="Environment"
      isHidden={(name) => !isShown && isSecretName(name)}
      actions={
        props.rows.some((row) => isSecretName(row.name)) ? (
          <button type="button" onClick={() => setShown(!isShown)}>
            {isShown ? 'Hide secrets' : 'Show secrets'}
          </button>
        ) : undefined
      }
    />
  );
}

function Changes({ title, titles, rows, actions, isHidden = () => false }: ChangesProps): VNode | null {
  if (rows.length === 0) return null;
  const cell = (name: string, value: string | undefined): ComponentChildren => {
    if (value === undefined) return <span class="faint">absent</span>;
    return isHidden(name) ? <span class="faint">hidden</span> : isolate(value);
  };
  return (
    <Section title={title} actions={actions}>
      <Table
        caption={`${title}: differences`}
        rows={rows}
        keyOf={({ name }) => name}
        columns={[
          { key: 'name', title: 'Name', isText: true, cell: ({ name }) => name },
          { key: 'first', title: titles[0], isText: true, cell: ({ name, first }) => cell(name, first) },
          { key: 'second', title: titles[1], isText: true, cell: ({ name, second }) => cell(name, second) },
        ]}
      />
    </Section>
  );
}
