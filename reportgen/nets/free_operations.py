"""Operations of TensorFlow that do no arithmetic worth counting.

A list of these and not of their opposite: what nobody thought of is named on the page as not counted.
"""

from __future__ import annotations

_MOVING = """
    AssignVariableOp BatchToSpace BatchToSpaceND Bitcast BroadcastArgs BroadcastGradientArgs BroadcastTo Cast
    CheckNumerics Complex Concat ConcatOffset ConcatV2 ConjugateTranspose Const DeepCopy DepthToSpace Diag
    DiagPart DynamicPartition DynamicStitch Empty EmptyTensorList EnsureShape ExpandDims ExtractImagePatches
    ExtractVolumePatches Fill Gather GatherNd GatherV2 Identity IdentityN Imag InvertPermutation LinSpace
    MatrixBandPart MatrixDiag MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3 MatrixDiagV2 MatrixDiagV3
    MatrixSetDiag MatrixSetDiagV2 MatrixSetDiagV3 MatrixTranspose MirrorPad NoOp OneHot OnesLike Pack Pad
    PadV2 ParallelDynamicStitch Placeholder PlaceholderWithDefault PreventGradient Range Rank ReadVariableOp
    Real Reshape ResizeNearestNeighbor ResourceGather ResourceGatherNd Reverse ReverseSequence ReverseV2 Roll
    ScatterNd Shape ShapeN Size Slice Snapshot SpaceToBatch SpaceToBatchND SpaceToDepth Split SplitV Squeeze
    StopGradient StridedSlice TensorListConcat TensorListConcatV2 TensorListElementShape TensorListFromTensor
    TensorListGather TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack TensorListReserve
    TensorListResize TensorListScatter TensorListScatterV2 TensorListSetItem TensorListSplit TensorListStack
    TensorScatterUpdate TensorStridedSliceUpdate Tile Transpose Unpack UnravelIndex VarHandleOp VariableV2
    ZerosLike
"""
_COMPARING = """
    All Any ApproximateEqual ArgMax ArgMin Assert Bucketize ClipByValue CombinedNonMaxSuppression Equal
    Greater GreaterEqual InTopK InTopKV2 IsFinite IsInf IsNan Less LessEqual LogicalAnd LogicalNot LogicalOr
    LowerBound NonMaxSuppression NonMaxSuppressionV2 NonMaxSuppressionV3 NonMaxSuppressionV4
    NonMaxSuppressionV5 NotEqual Print PrintV2 Select SelectV2 Sign StringFormat TopK TopKV2 Unique UniqueV2
    UpperBound Where
"""
_FUNCTIONS_OF_ONE_VALUE = """
    Abs Acos Acosh Asin Asinh Atan Atan2 Atanh Ceil Cos Cosh Digamma Elu Erf Erfc Erfinv Exp Expm1
    FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel Floor LeakyRelu Lgamma
    Log Log1p Ndtri QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 QuantizeAndDequantizeV4 QuantizeV2 Relu
    Relu6 Rint Round Rsqrt Selu Sigmoid Sin Sinh Softplus Softsign Sqrt Tan Tanh
"""
_RANDOM = """
    Multinomial ParameterizedTruncatedNormal RandomGamma RandomShuffle RandomStandardNormal RandomUniform
    RandomUniformInt StatelessMultinomial StatelessRandomNormal StatelessRandomNormalV2 StatelessRandomUniform
    StatelessRandomUniformInt StatelessRandomUniformIntV2 StatelessRandomUniformV2 StatelessTruncatedNormal
    StatelessTruncatedNormalV2 TruncatedNormal
"""
ARITHMETIC_FREE = frozenset((_MOVING + _COMPARING + _FUNCTIONS_OF_ONE_VALUE + _RANDOM).split())
"""Types of operations that move, compare or draw numbers, or take a function of one."""
