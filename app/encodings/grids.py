"""The grids of the lattice encodings: which points their codes can name.

A group of weights is stored as the number of a point on a grid: 8 coordinates of 3 levels (IQ1,
IQ2) or 4 coordinates of 8 levels (IQ3). The points are facts of the file format, chosen by the
authors of ggml from all 3**8 or 8**4. They are numbered in the order of sum(level * levels**i), i
being the number of the coordinate; so a grid is a set, and kept as one bit a possible point.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Grid:
    """A set of points."""

    name: str
    """The encoding that brought it."""
    points: int
    coordinates: int
    values: tuple[float, ...]
    """What the levels stand for."""

    def levels(self) -> NDArray[np.uint8]:
        """The level of each coordinate, (points, coordinates), by number of the point."""
        import numpy as np

        (at,) = np.unpackbits(_sets()[self.name]).nonzero()
        assert len(at) == self.points
        base = len(self.values)
        return (at[:, None] // base ** np.arange(self.coordinates) % base).astype(np.uint8)


_IQ2 = (8.0, 25.0, 43.0)
_IQ3_XXS = (4.0, 12.0, 20.0, 28.0, 36.0, 44.0, 52.0, 62.0)
_IQ3_S = (1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 13.0, 15.0)

IQ2_XXS = Grid("IQ2_XXS", 256, 8, _IQ2)
IQ2_XS = Grid("IQ2_XS", 512, 8, _IQ2)
IQ2_S = Grid("IQ2_S", 1024, 8, _IQ2)
IQ3_XXS = Grid("IQ3_XXS", 256, 4, _IQ3_XXS)
IQ3_S = Grid("IQ3_S", 512, 4, _IQ3_S)
IQ1 = Grid("IQ1", 2048, 8, (-1.0, 0.0, 1.0))
GRIDS = (IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S, IQ1)


@cache
def _sets() -> dict[str, NDArray[np.uint8]]:
    """The bits of every grid, packed into bytes."""
    import numpy as np

    bits = np.frombuffer(zlib.decompress(base64.b85decode(_PACKED)), np.uint8)
    found, start = {}, 0
    for grid in GRIDS:
        size = -(-(len(grid.values) ** grid.coordinates) // 8)
        found[grid.name] = bits[start : start + size]
        start += size
    return found


_PACKED = (
    "c-nPW&yO5O6@Fc+7L~?9HBOH)2aDR#T59H$h=e1mcDn6#WRq^YI}0Ks6Dd(nNIuxPScY<IE!qP}V~Ftuq}q`!HGP7A"
    "0D)vABraadiG_rPkcbqxaEdsE@T#hNdS-E2GqW@GetqxN_g>YuP1LeURe^{mzyLrHh=73k1`se()u19l0$fM2#&-aq"
    "z^GKX9z|Bsy{r|3?ui6rs3vL<3cnCzg^zNIOb~SGtXTK9A>5;t5g8nHzhuox=i2;K+IezDL9Yj-LMiFBMQ78=%*!DV"
    "u=zN60ak-COc|InpMb&M;U~<hF#~j!se&P8U}|vAR9_VPW)q81C~G1%YzK@)t$7qH9l^wanXHTLQ&~0DiO8U4LDoZ-"
    "(KB;j%i-{2s@ZLYAS=U_14|n+BxxhsnyZbp)*}q*Db|-^9XIqfB+s<kc-ZI2R!9z4^BLct`H0U~Yuk3-E~{p#rfnN6"
    "D~4>H&aqbnC<TELHHJYbLLv)ci^#NNU#siLHAKg8W)KSH2s3TxXhnL5C<-8``*IqGOItHi^?BJnabLBDuBYk^@T5cS"
    "9D)d#iQ09Ya*C76GOuqMCscjySfy+f*88-5pltCcE@hinmoiK+y-M{Cu~4?36pGx26H_R{hNe-fi(1+E18=(W+LQ(8"
    "O<n`B<z=Qkm0MtI14Upp2<iC2$OcJBS3_oC1)Gd=q)}vz3$Cr%Vcvn-D75Iu5oxq)gz+0Rs_R{_S(qwU(bP5#S>q=e"
    "njN)GvCU*X%vdIbtA=vz&Nk_dP9|m;uyv5p;SLd-lVzB{$StupmTWCa)JGApIbAl3X@W1iE$C3|;S=GyrfC~pw}#_w"
    "q?-si9<&1L8viU&p_wk{LEA?7GW18$JhE(UT4RMYA-WY46qy~5n0BWIHq9J8H}eSl(S&Ft2%@SI8Z0FThel)_M%qyl"
    "`*ALe2s3sf=4Nfj^y$2rS6ZkVrUAC4vtlqe{i<PtS!_70`=iSm*9e2z>NKmiu^oyZrfE#hO*App&>h065hi7Wt8Lvd"
    "04EBn9w9nlkrRnwP7nxKzcuKvu~zVZDMxk^M4i>jA#~tv$|$mvcW~&Yh2__>(TI>R%W+#nW?%@*88u&b$gFJD9n4n4"
    "4IQ>YBR3OpPSnw~##sYP2Oft(-E>yC%XK$h`jnLs1*-{VM8=I;ohR0_He6Y@th2J4!urAE82gMG)@+rw8QyBRW7LP3"
    "kL;bY{$OW)pOVOp#(C#Zbrbi{`9gZ2YeRsjNOfguaxHNs%ygn9PO3)g9Acocrp}0i$2<sQSk;+Y%Q>J(LZ-9EGgOtX"
    "88a>Ipw*zH37xD$+cQSeHF#!OXG;?w3Trn~I@X>-CFzP#+j!i>@-W(vU`8wukUB&E)W$Q#%Z#x>Dvgy(+{2a1fTuQT"
    "0#3y3eDlDE(fZI;m`;V!dUX?o^)OaLj_P4DOM5tw-oRc{L>B>+buOIR`bDEZ=?uY)f9c-dYOGf4CjlLHv;*(ljaRdv"
    "yULg}&2V4Al~z*^rQ0~AKKj=Kem~P^KYnmKVUUPF{w%3aX0YIizQDAXsL_sCNOM*!c?yJ+4BcUM8~kl{=i?9bYY<5B"
    "sFn+)K&4LBVnLNSyNGL4RAB_!1of=cLcV25jy$18{z04TLVNG)+uJ(=<!2$gAxE%tPez%*c8OuJjmz6i3QuuR`^E`c"
    "Qb`mym)uemUz1!GEHh`oL<xkd41aQ!V-5Hz^osu>NKFNv;@pzZ#0N+4THF%IJhhdHJ&t6}_9RyxUZ1cb+~L9uy`^uh"
    "geknc((HlaxFl);w{Tb$!qQkM$tzR&Eo2>&l<(lbBkuA_Owd(hM*Yw#%&IwTZ}j&`Ca6$~$!?>}MhaMTS1H<WVCU-="
    "P9JmS5y;UHfA3V7jkGbg4UUBOw|&vypXE9U+I!KyFHg<+@+afBXr6wX7c|-rqL@yW_ZscXn2wGEkNw{l{^)6$Jy$-&"
    "p3cgbVxJSV+8cR6gy#7X{uQ5l1+GN<^ysOUFV)Mh`ZRwVitTZk@-v@s9)^Ii!ZM^|k7j@2znYEd#jCf|tL2;De6l-x"
    "8ecw<%r5@<@>!WcLdW?mizSER!WYuNCiHO%H^_}L4|$>xVH4BEa&NltbNOKWCf$nZ6k(*4|2l|d!B321&p(PA5U0md"
    "8Gcakef)leFYywA2z@v;$IHn3G30T<Zyt#>rW`u(Qqr;jy7SZgYB-+VEXQAhIO8%*<QCHLsORrKUzD%XgITis-H#3q"
    "-W#9A-`_gOCodNC=oSg{f|vA#uct}+$#?uOk4^s-;}KBLKS<MX=6mtEY<B&`?1xWM|8dImEZj}u<~jM|rIWkY{_}Wz"
    "<+s;=@Z{3J|NH5?znfkA#ozw%*{5$`+PV9qJYnVa%UdNsKYkcr{cN^<_Ya;p{qnKb$JxopfGP7c<qpWW$ljqpk8eL0"
    "hmgWc-k%`m9KMm4<x~02_1wQGy$}C+<%{R<vY1^duZ7Kz?+eIG9Vk~fX<YttmYm!27v6Em)6?<>-X5@Guf%qjOB$Ac"
    "&vxuCYo8n1C@OuDCOAWR%HPP}J5iP%&@4XlLbAsv#%ht%1{w8M#>=AcATw5bW3Ud-&{3Qn$1Nz+GJpO+W(9_by)p}V"
    "2zN#@@vlD&Pw;&9=sc!;@~c-%`dWDG`~H!4y-Xq#-Z+g!l4be0+)eNJDd&v(c>?iex67HO=$-Gug;MhSz<x97c3C5("
    "<5ylc-Gs5S8Qo1K#77t5-3aPOOT&$^v<OGrd=zGc;|iuMjYIW6QW%iv"
)
