import {
  ArrowDown,
  ArrowUp,
  ArrowUpDown,
  Check,
  ChevronRight,
  CircleAlert,
  Copy,
  Download,
  GitCompare,
  History,
  Lock,
  Menu,
  Moon,
  Pause,
  Play,
  Plus,
  RefreshCw,
  Search,
  Sun,
  SunMoon,
  Tag,
  Trash2,
  TriangleAlert,
  Undo2,
  Upload,
  User,
  X,
  type IconNode,
} from 'lucide';
import { h, type VNode } from 'preact';

/** The icons of the UI. Each import adds only its own shapes to the page. */
const icons = {
  'arrow-down': ArrowDown,
  'arrow-up': ArrowUp,
  sort: ArrowUpDown,
  check: Check,
  chevron: ChevronRight,
  alert: CircleAlert,
  copy: Copy,
  download: Download,
  compare: GitCompare,
  history: History,
  lock: Lock,
  menu: Menu,
  moon: Moon,
  pause: Pause,
  play: Play,
  plus: Plus,
  refresh: RefreshCw,
  search: Search,
  sun: Sun,
  system: SunMoon,
  tag: Tag,
  trash: Trash2,
  warning: TriangleAlert,
  undo: Undo2,
  upload: Upload,
  user: User,
  close: X,
} as const satisfies Readonly<Record<string, IconNode>>;

/** The name of an icon. */
export type IconName = keyof typeof icons;

/** Shows an icon. Screen readers skip it unless it has a label. */
export function Icon({ name, label }: { readonly name: IconName; readonly label?: string }): VNode {
  const described = label === undefined ? { 'aria-hidden': true } : { role: 'img' as const, 'aria-label': label };
  return (
    <svg class="icon" viewBox="0 0 24 24" {...described}>
      {icons[name].map(([shape, attributes]) => h(shape, attributes))}
    </svg>
  );
}
