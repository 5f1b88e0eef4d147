import type { VNode } from 'preact';
import type { ManifestDocument } from '../../../../src/protocol/documents/manifests.js';
import { imagePath, urlOf } from '../../api.ts';
import { formatBytes, formatNumber } from '../../format.ts';
import { imageHref, type ImageName } from '../../image-links.ts';
import { Icon } from '../../parts/icon.tsx';
import { isolate } from '../../parts/isolate.tsx';
import { Empty } from '../../parts/problem.tsx';
import { Table } from '../../parts/table.tsx';
import { Bytes, Copy, Digest } from '../../parts/texts.tsx';
import { Reference } from './image-details.tsx';

interface TabProps {
  readonly name: ImageName;
  readonly manifest: ManifestDocument;
}

/** Larger blobs cannot be downloaded through the API. */
const maxDownloadBytes = 32 * 1024 * 1024;

/** The layers of an image, with the commands that created them. */
export function Layers({ name, manifest }: TabProps): VNode {
  const { layers, platforms } = manifest;
  if (layers.length === 0) {
    return <Empty>{platforms.length > 0 ? 'Each platform has its own layers.' : 'The manifest has no layers.'}</Empty>;
  }
  const rows = layers.map((layer, index) => ({ ...layer, number: index + 1 }));
  return (
    <Table
      caption="Layers"
      rows={rows}
      keyOf={({ number }) => String(number)}
      columns={[
        { key: 'number', title: 'Layer', cell: ({ number }) => `${number} of ${rows.length}` },
        {
          key: 'created',
          title: 'Created by',
          cell: ({ created_by: command, media_type: type }) => <code class="command">{isolate(command ?? type)}</code>,
        },
        { key: 'digest', title: 'Digest', isWide: true, cell: ({ digest }) => <Digest value={digest} /> },
        {
          key: 'elsewhere',
          title: 'Other images',
          isNumber: true,
          isWide: true,
          cell: ({ elsewhere }) => formatNumber(elsewhere),
        },
        {
          key: 'size',
          title: 'Size',
          isNumber: true,
          compare: (one, other) => one.size_bytes - other.size_bytes,
          isLargestFirst: true,
          cell: ({ size_bytes: size }) => <Bytes value={size} />,
        },
        {
          key: 'download',
          title: 'Download',
          isWide: true,
          cell: ({ digest, size_bytes: size, number }) =>
            size > maxDownloadBytes ? undefined : <Download name={name} digest={digest} what={`layer ${number}`} />,
        },
      ]}
    />
  );
}

function Download({
  name,
  digest,
  what,
}: {
  readonly name: ImageName;
  readonly digest: string;
  readonly what: string;
}): VNode {
  const url = urlOf(`${imagePath(name.repository, name.image)}/blob`, { digest });
  return (
    <a href={url} download aria-label={`Download ${what}`}>
      <Icon name="download" />
    </a>
  );
}

/** The referrers of an image: signatures, SBOMs and other artifacts. */
export function Referrers({ name, manifest }: TabProps): VNode {
  if (manifest.referrers.length === 0) {
    return <Empty>Nothing refers to this manifest: no signature, no SBOM and no other artifact.</Empty>;
  }
  return (
    <Table
      caption="Referrers"
      rows={manifest.referrers}
      keyOf={({ digest }) => digest}
      columns={[
        {
          key: 'type',
          title: 'Type',
          cell: ({ artifact_type: type, media_type: media, digest, tag }) => (
            <a href={imageHref(name, { reference: digest })}>{isolate(type ?? tag ?? media)}</a>
          ),
        },
        { key: 'digest', title: 'Digest', isWide: true, cell: ({ digest }) => <Digest value={digest} /> },
        {
          key: 'annotations',
          title: 'Annotations',
          isWide: true,
          cell: ({ annotations }) => (
            <span class="command">
              {Object.entries(annotations).map(([key, value], index) => [
                index === 0 ? '' : ', ',
                isolate(key),
                ': ',
                isolate(value),
              ])}
            </span>
          ),
        },
        { key: 'size', title: 'Size', isNumber: true, cell: ({ size_bytes: size }) => <Bytes value={size} /> },
      ]}
    />
  );
}

/** The bytes of a manifest, indented if they are JSON. */
export function Raw({ manifest }: Pick<TabProps, 'manifest'>): VNode {
  return (
    <>
      <div class="section-head">
        <p class="faint">
          {manifest.media_type}, {formatBytes(manifest.manifest_size_bytes)}, shown indented
        </p>
        <Copy text={manifest.raw} label="Copy the manifest as it is stored" />
      </div>
      <pre>{indent(manifest.raw)}</pre>
    </>
  );
}

function indent(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** The tags and manifests that keep a manifest because they name it. */
export function UsedBy({ name, manifest }: TabProps): VNode {
  const { tags, named_by: parents } = manifest;
  if (tags.length + parents.length === 0) {
    return <Empty>No tag and no other manifest names it. Retention policies may delete it.</Empty>;
  }
  return (
    <ul class="plain">
      {tags.map((tag) => (
        <li key={tag}>
          Tag <a href={imageHref(name, { reference: tag })}>{tag}</a>
        </li>
      ))}
      {parents.map((digest) => (
        <li key={digest}>
          Manifest <Reference name={name} digest={digest} />
        </li>
      ))}
    </ul>
  );
}
